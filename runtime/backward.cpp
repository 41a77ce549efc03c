// backward(): the walk of the tape from one tensor to the leaves.
#include "runtime/backward_pass.h"

#include <fmt/format.h>

#include "calque/autograd.h"
#include "ir/op/error.h"

namespace calque {

Tensor of_its_own(const Tensor& gradient) {
  const TensorImpl& impl = *gradient.impl();
  const bool is_shared = impl.references.load(std::memory_order_relaxed) > 1 ||
                         impl.storage->references.load(std::memory_order_relaxed) > 1;
  bool is_expanded = false;
  for (int axis = 0; axis < impl.shape.rank(); ++axis) is_expanded |= impl.strides[axis] == 0 && impl.shape[axis] > 1;
  if (!is_shared && !is_expanded) return gradient;
  const Tensor copy = empty(impl.type());
  kernels::copy(impl.view(), copy.impl()->view());
  return copy;
}

std::string fault_of_start(const Tensor& output, const Tensor& weight, const char* op) {
  if (!output.requires_grad()) return fmt::format("{}: the tensor depends on nothing that requires grad", op);
  const Type type = output.impl()->type();
  if (!weight && output.element_count() != 1)
    return fmt::format("{}: {} has more than one element; give the gradient to start from", op, to_string(type));
  if (weight && weight.impl()->type() != type)
    return fmt::format("{}: the gradient is {}, the tensor {}", op, to_string(weight.impl()->type()), to_string(type));
  return "";
}

bool is_grad_enabled() { return thread_state.grad_enabled; }
NoGradGuard::NoGradGuard() : before_(std::exchange(thread_state.grad_enabled, false)) {}
NoGradGuard::~NoGradGuard() { thread_state.grad_enabled = before_; }

void Tensor::backward() const { backward({}); }

void Tensor::backward(const Tensor& gradient) const {
  border("backward()");
  const ObserverPause pause;
  if (const std::string fault = fault_of_start(*this, gradient, "backward"); !fault.empty()) throw UserError(fault);
  materialize(*impl_);
  BackwardPass pass(false);
  pass.seed(*impl_, gradient ? gradient : full(shape(), 1.0, dtype()));
  pass.run();
  pass.deposit();
}

}  // namespace calque
