// Runs an op: asks the observer, infers types, runs the kernel, records the gradient, tells the observer.
#include "runtime/dispatch.h"

#include <algorithm>

#include "calque/ops.h"
#include "ir/op/error.h"
#include "runtime/eager_emitter.h"
#include "runtime/promotion.h"
#include "runtime/tape.h"
#include "runtime/view_origin.h"
#include "runtime/views.h"

namespace calque {

thread_local constinit ThreadState thread_state;

namespace {

constexpr size_t kMostInline = 8;
thread_local constinit uint64_t dispatched = 0;

/// Types of the results; elementwise ops on equal types, by far the most common, skip the rule.
void infer_results(const OpRow& row, Op op, std::span<TensorImpl* const> inputs, Attributes& attributes,
                   std::span<Tensor> results) {
  const auto make = [](const Type& type) {
    TensorImpl* impl = TensorImpl::create();
    impl->dtype = type.dtype;
    impl->shape = type.shape;
    return Tensor::adopt(impl);
  };
  if (row.signature == Signature::floating && is_floating(inputs[0]->dtype) &&
      (inputs.size() == 1 || (inputs[1]->dtype == inputs[0]->dtype && inputs[1]->shape == inputs[0]->shape))) {
    results[0] = make(inputs[0]->type());
    return;
  }
  if (row.signature == Signature::numeric && inputs.size() == 2 && is_numeric(inputs[0]->dtype) &&
      inputs[1]->dtype == inputs[0]->dtype &&
      (inputs[1]->shape == inputs[0]->shape || inputs[1]->shape.rank() == 0)) {
    results[0] = make(inputs[0]->type());
    return;
  }
  Type inline_types[kMostInline];
  std::vector<Type> more;
  std::span<Type> types(inline_types, std::min(inputs.size(), kMostInline));
  if (inputs.size() > kMostInline) {
    more.resize(inputs.size());
    types = more;
  }
  for (size_t i = 0; i < inputs.size(); ++i) types[i] = inputs[i]->type();
  const std::vector<Type> inferred = infer(op, types, attributes);
  for (size_t i = 0; i < results.size(); ++i) results[i] = make(inferred[i]);
}

void allocate(TensorImpl& impl) {
  impl.set_contiguous_strides();
  impl.storage = Ref<Storage>::adopt(Storage::create(impl.shape.element_count() * size_of(impl.dtype)));
}

void run_kernel(Op op, std::span<TensorImpl* const> inputs, const Attributes& attributes, std::span<Tensor> results) {
  kernels::View inline_views[kMostInline];
  std::vector<kernels::View> more;
  std::span<kernels::View> views(inline_views, std::min(inputs.size(), kMostInline));
  if (inputs.size() > kMostInline) {
    more.resize(inputs.size());
    views = more;
  }
  for (size_t i = 0; i < inputs.size(); ++i) views[i] = inputs[i]->view();
  kernels::View outputs[kMostInline];
  for (size_t i = 0; i < results.size(); ++i) {
    allocate(*results[i].impl());
    outputs[i] = results[i].impl()->view();
  }
  kernels::eager_kernel(op)(views, attributes, std::span(outputs, results.size()));
}

/// The body runs op by op: each of its ops goes on the tape, none is shown to the observer.
void run_composite(const OpRow& row, std::span<TensorImpl* const> inputs, const Attributes& attributes,
                   std::span<Tensor> results) {
  const ObserverPause pause;
  EagerEmitter emitter;
  std::vector<Value> values;
  for (TensorImpl* input : inputs) values.push_back(emitter.add(Tensor::share(input)));
  results[0] = emitter.tensor(row.body(emitter, values, attributes));
}

// Not inlined, as the others that are seldom gone: dispatch has little to do and keep when an observer takes the op.
[[gnu::noinline]] void run(const OpRow& row, Op op, std::span<TensorImpl* const> inputs, const Attributes& given,
                           std::span<Tensor> results) {
  for (TensorImpl* input : inputs) materialize(*input);
  if (row.kind == OpKind::gradient) return run_grad(inputs, given, results);  // whose ops come here one by one
  ++dispatched;
  if (row.kind == OpKind::composite) return run_composite(row, inputs, given, results);
  Attributes attributes = given;
  infer_results(row, op, inputs, attributes, results);
  if (row.kind == OpKind::view)
    for (size_t i = 0; i < results.size(); ++i) {
      make_view(op, attributes, *inputs[0], static_cast<int>(i), *results[i].impl());
      set_origin(*results[i].impl(), *inputs[0], op, attributes, static_cast<int>(i),
                 thread_state.grad_enabled || op == Op::detach);
    }
  else
    run_kernel(op, inputs, attributes, results);
  if (thread_state.grad_enabled) record_on_tape(op, inputs, attributes, results);
}

inline bool changes_unseen(const TensorImpl* impl) { return !impl->is_pending() && impl->storage->changes_unseen(); }

/// The elements of this moment, as a recorded op where gradients have to flow back.
Tensor copy_of(TensorImpl& impl) {
  const ObserverPause pause;
  const Tensor tensor = Tensor::share(&impl);
  if (thread_state.grad_enabled && tensor.requires_grad()) return mul(tensor, scalar(1.0, tensor));  // keeps every bit
  Tensor copy = empty(impl.type());
  kernels::copy(impl.view(), copy.impl()->view());
  return copy;
}

/// An op, under observation, on memory that others may write at any time: what may be computed later gets a copy. A view is
/// of the memory itself, and made at once.
[[gnu::noinline]] void dispatch_on_copies(const OpRow& row, Op op, std::span<TensorImpl* const> inputs,
                                          const Attributes& attributes, std::span<Tensor> results, const void* location) {
  if (row.kind == OpKind::view) {
    const ObserverPause pause;
    return run(row, op, inputs, attributes, results);
  }
  std::vector<Tensor> copies;
  std::vector<TensorImpl*> own(inputs.begin(), inputs.end());
  for (TensorImpl*& input : own)
    if (changes_unseen(input)) {
      const TensorImpl& original = *input;
      input = copies.emplace_back(copy_of(*input)).impl();
      thread_state.observer->copied(original, copies.back());
    }
  dispatch(op, own, attributes, results, location);
}

[[gnu::noinline]] void dispatch_promoted(const OpRow& row, Op op, std::span<TensorImpl* const> inputs,
                                         const Attributes& attributes, std::span<Tensor> results, const void* location) {
  const PromotedInputs promoted(row, inputs, location);
  dispatch(op, promoted.impls(), attributes, results, location);
}

}  // namespace

uint64_t dispatched_ops() { return dispatched; }

int result_count(Op op, size_t operands, const Attributes& attributes) {
  if (op == Op::split) return static_cast<int>(std::clamp<int64_t>(attributes[0], 1, 64));
  if (op == Op::grad) return static_cast<int>(static_cast<int64_t>(operands) - 2 * attributes[0]);
  return 1;
}

void dispatch_unexpected(Op op, std::span<TensorImpl* const> inputs, const Attributes& attributes, std::span<Tensor> results,
                         const void* location) {
  const OpRow& entry = row(op);
  for (TensorImpl* input : inputs)
    if (!input) throw UserError(std::string(entry.name) + ": an input is an empty handle, not a tensor");
  if (!is_settled(entry, inputs)) return dispatch_promoted(entry, op, inputs, attributes, results, location);
  Observer* observer = thread_state.observer;
  if (!observer) return run(entry, op, inputs, attributes, results);
  for (const TensorImpl* input : inputs)
    if (changes_unseen(input)) return dispatch_on_copies(entry, op, inputs, attributes, results, location);
  const OpCall call{op, inputs, attributes, location};
  if (observer->before(call, results)) return;
  run(entry, op, inputs, attributes, results);
  observer->after(call, results);
}

std::vector<Tensor> run_op(Op op, std::span<const Tensor> inputs, const Attributes& attributes, const void* location) {
  std::vector<TensorImpl*> impls;
  for (const Tensor& input : inputs) impls.push_back(input.impl());
  std::vector<Tensor> results(result_count(op, inputs.size(), attributes));
  dispatch(op, impls, attributes, results, location);
  return results;
}

}  // namespace calque
