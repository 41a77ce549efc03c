// grad(): an op where somebody observes and knows the history that it is about, else a walk of the tape.
#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "calque/autograd.h"
#include "ir/op/error.h"
#include "runtime/backward_pass.h"
#include "runtime/dispatch.h"
#include "runtime/view_origin.h"

namespace calque {

namespace {

using Tensors = std::span<const Tensor>;

/// Why these gradients cannot be asked for; empty where they can.
std::string fault_of_call(Tensors outputs, Tensors inputs, Tensors weights) {
  if (!weights.empty() && weights.size() != outputs.size())
    return fmt::format("grad: {} outputs but {} output gradients", outputs.size(), weights.size());
  for (const Tensor& input : inputs)
    if (!input.requires_grad()) return "grad: an input does not require grad";
  for (size_t i = 0; i < outputs.size(); ++i)
    if (std::string fault = fault_of_start(outputs[i], weights.empty() ? Tensor() : weights[i], "grad"); !fault.empty())
      return fault;
  return "";
}

/// One as the weight of a single element.
Tensor one(const Tensor& output, const void* location) {
  Tensor result;
  dispatch(Op::full, {}, Attributes::of(1.0, output.dtype(), Ints(output.shape())), {&result, 1}, location);
  return result;
}

std::vector<Tensor> gradients(Tensors outputs, Tensors inputs, const GradOptions& options, const void* location) {
  const Tensors weights = options.output_gradients;
  const std::string fault = fault_of_call(outputs, inputs, weights);
  Observer* observer = thread_state.observer;
  std::optional<ObserverPause> pause;
  if (observer && (!fault.empty() || inputs.empty() || !observer->sees_history(outputs, inputs))) {
    border("grad()");
    pause.emplace();
  }
  if (!fault.empty()) throw UserError(fault);
  if (inputs.empty()) return {};
  std::vector<Tensor> operands(outputs.begin(), outputs.end());
  for (size_t i = 0; i < outputs.size(); ++i) operands.push_back(weights.empty() || !weights[i] ? one(outputs[i], location) : weights[i]);
  operands.insert(operands.end(), inputs.begin(), inputs.end());
  std::vector<TensorImpl*> impls;
  for (const Tensor& operand : operands) impls.push_back(operand.impl());
  std::vector<Tensor> results(inputs.size());
  dispatch(Op::grad, impls, Attributes::of(static_cast<int64_t>(outputs.size()), options.create_graph), results, location);
  return results;
}

/// The history of a gradient that depends on nothing: it has one all the same, so that whether a gradient requires grad follows
/// from how it was asked for, not from how often a loop ran.
class ConstantNode final : public TapeNode {
 public:
  ConstantNode() : TapeNode(1) {}
  void backward(std::span<const Tensor>, GradientReceiver&, bool) override {}
};

/// A gradient that is recorded, as a tensor of its own.
Tensor recorded(const Tensor& gradient) {
  const TensorImpl& impl = *gradient.impl();
  const bool is_own = impl.references.load(std::memory_order_relaxed) == 1 &&
                      impl.storage->references.load(std::memory_order_relaxed) == 1 && gradient.is_contiguous();
  Tensor result = is_own ? gradient : mul(gradient, scalar(1.0, gradient));  // which keeps every bit
  if (!result.requires_grad()) set_producer(*result.impl(), Ref<TapeNode>::adopt(new ConstantNode), 0);
  return result;
}

Tensor unrecorded(const Tensor& gradient) {
  if (gradient.is_contiguous()) return of_its_own(gradient);
  const Tensor copy = empty(gradient.impl()->type());
  kernels::copy(gradient.impl()->view(), copy.impl()->view());
  return copy;
}

}  // namespace

void run_grad(std::span<TensorImpl* const> operands, const Attributes& attributes, std::span<Tensor> results) {
  const ObserverPause pause;
  const auto outputs = static_cast<size_t>(attributes[0]);
  const std::span<TensorImpl* const> inputs = operands.subspan(2 * outputs);
  for (TensorImpl* operand : operands) refresh_history(*operand);
  {
    BackwardPass pass(attributes.flag(1));
    for (TensorImpl* input : inputs) pass.want(*input);
    for (size_t i = 0; i < outputs; ++i) pass.seed(*operands[i], Tensor::share(operands[outputs + i]));
    pass.run();
    for (size_t i = 0; i < inputs.size(); ++i) {
      const auto same = static_cast<size_t>(std::find(inputs.begin(), inputs.end(), inputs[i]) - inputs.begin());
      results[i] = same < i ? results[same] : pass.wanted_gradient(*inputs[i]);
    }
  }
  // Whoever else got the same tensor from the walk, each result is one of its own, in row-major order.
  const GradMode recording(attributes.flag(1));
  for (size_t i = 0; i < inputs.size(); ++i) {
    if (!results[i]) results[i] = zeros(inputs[i]->shape, inputs[i]->dtype);
    results[i] = attributes.flag(1) ? recorded(results[i]) : unrecorded(results[i]);
  }
}

#define CALQUE_USER_LOCATION __builtin_extract_return_addr(__builtin_return_address(0))

std::vector<Tensor> grad(Tensors outputs, Tensors inputs, const GradOptions& options) {
  return gradients(outputs, inputs, options, CALQUE_USER_LOCATION);
}

std::vector<Tensor> grad(std::initializer_list<Tensor> outputs, std::initializer_list<Tensor> inputs,
                         const GradOptions& options) {
  return gradients({outputs.begin(), outputs.size()}, {inputs.begin(), inputs.size()}, options, CALQUE_USER_LOCATION);
}

}  // namespace calque
