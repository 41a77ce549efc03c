// Bodies of the composite ops, in terms of other ops. Every engine that does not claim a composite whole runs its body.
#include "ir/op/emitter.h"
#include "ir/op/error.h"

namespace calque {

namespace {

/// Axes as given; all axes when the list is empty.
std::vector<int64_t> axes_or_all(std::span<const int64_t> axes, int rank) {
  std::vector<int64_t> result(axes.begin(), axes.end());
  if (result.empty())
    for (int axis = 0; axis < rank; ++axis) result.push_back(axis);
  return result;
}

}  // namespace

Value body_mean(Emitter&, std::span<const Value> inputs, const Attributes& attributes) {
  const Shape shape = type_of(inputs[0]).shape;
  int64_t count = 1;
  for (int64_t axis : axes_or_all(attributes.list(1), shape.rank()))
    count *= shape[normalize_axis(axis, shape.rank(), "mean")];
  return sum(inputs[0], attributes.list(1), attributes.flag(0)) / static_cast<double>(count);
}

Value body_softmax(Emitter&, std::span<const Value> inputs, const Attributes& attributes) {
  const Value e = exp(inputs[0] - max(inputs[0], {attributes[0]}, true));
  return e / sum(e, {attributes[0]}, true);
}

Value body_log_softmax(Emitter&, std::span<const Value> inputs, const Attributes& attributes) {
  const Value shifted = inputs[0] - max(inputs[0], {attributes[0]}, true);
  return shifted - log(sum(exp(shifted), {attributes[0]}, true));
}

Value body_layer_norm(Emitter&, std::span<const Value> inputs, const Attributes& attributes) {
  const Value& x = inputs[0];
  const Value centred = x - mean(x, {-1}, true);
  const Value variance = mean(centred * centred, {-1}, true);
  return centred * rsqrt(variance + attributes.number(0));
}

Value body_silu(Emitter&, std::span<const Value> inputs, const Attributes&) { return inputs[0] * sigmoid(inputs[0]); }

Value body_gelu(Emitter&, std::span<const Value> inputs, const Attributes&) {
  const Value& x = inputs[0];
  return 0.5 * x * (1.0 + tanh(0.7978845608028654 * (x + 0.044715 * x * (x * x))));
}

Value body_cross_entropy(Emitter& emitter, std::span<const Value> inputs, const Attributes&) {
  const Value &logits = inputs[0], &targets = inputs[1];
  const Type type = type_of(logits), target_type = type_of(targets);
  if (type.shape.rank() != 2 || target_type.shape.rank() != 1 || type.shape[0] != target_type.shape[0] ||
      (target_type.dtype != DType::i64 && target_type.dtype != DType::i32))
    throw UserError("cross_entropy: takes logits [N,C] and integer targets [N], got " + to_string(type) + " and " +
                    to_string(target_type));
  const int64_t rows = type.shape[0], classes = type.shape[1];
  const Value numbers = emitter.emit(Op::arange, {}, Attributes::of(classes, target_type.dtype))[0];
  const Value chosen = equal(reshape(targets, {rows, 1}), numbers);
  const Value picked = sum(where(chosen, log_softmax(logits, -1), 0.0), {1});
  return -mean(picked);
}

}  // namespace calque
