// Bodies of the composite ops, in terms of other ops. Every engine that does not claim a composite whole runs its body.
#include <algorithm>

#include "ir/op/emitter.h"
#include "ir/op/error.h"

namespace calque {

namespace {

/// How many elements a reduction over `axes` (all when empty) joins into one.
int64_t elements_of(const Shape& shape, std::span<const int64_t> axes, const char* op) {
  if (axes.empty()) return shape.element_count();
  int64_t count = 1;
  for (int64_t axis : axes) count *= shape[normalize_axis(axis, shape.rank(), op)];
  return count;
}

/// Whether each element is not zero.
Value truth_of(const Value& x) { return type_of(x).dtype == DType::boolean ? x : cast(x, DType::boolean); }

}  // namespace

Value body_mean(Emitter&, std::span<const Value> inputs, const Attributes& attributes) {
  const int64_t count = elements_of(type_of(inputs[0]).shape, attributes.list(1), "mean");
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

Value body_var(Emitter&, std::span<const Value> inputs, const Attributes& attributes) {
  const Value& x = inputs[0];
  const std::span<const int64_t> axes = attributes.list(2);
  const double count = static_cast<double>(elements_of(type_of(x).shape, axes, "var"));
  const double freedom = std::max(count - attributes.number(1), 0.0);  // none: NaN
  return sum(square(x - mean(x, axes, true)), axes, attributes.flag(0)) / freedom;
}

Value body_std(Emitter&, std::span<const Value> inputs, const Attributes& attributes) {
  return sqrt(var(inputs[0], attributes.list(2), attributes.flag(0), attributes.number(1)));
}

/// Shifted by the largest element where that is finite; infinities and NaN come out of the sum itself.
Value body_logsumexp(Emitter&, std::span<const Value> inputs, const Attributes& attributes) {
  const Value& x = inputs[0];
  const Value largest = detach(max(x, attributes.list(1), true));
  const Value shift = where(isfinite(largest), largest, 0.0);
  const Value total = log(sum(exp(x - shift), attributes.list(1), attributes.flag(0)));
  return total + reshape(shift, type_of(total).shape);
}

Value body_any(Emitter&, std::span<const Value> inputs, const Attributes& attributes) {
  return sum(cast(truth_of(inputs[0]), DType::i64), attributes.list(1), attributes.flag(0)) > 0.0;
}

Value body_all(Emitter&, std::span<const Value> inputs, const Attributes& attributes) {
  return logical_not(any(logical_not(truth_of(inputs[0])), attributes.list(1), attributes.flag(0)));
}

/// Turned around without overflow: -x of floats, ~x of integers.
Value body_argmin(Emitter&, std::span<const Value> inputs, const Attributes& attributes) {
  const Value& x = inputs[0];
  return argmax(is_integer(type_of(x).dtype) ? bitwise_not(x) : neg(x), attributes[0]);
}

Value body_clamp(Emitter&, std::span<const Value> inputs, const Attributes& attributes) {
  const Value& x = inputs[0];
  return minimum(maximum(x, scalar(attributes.number(0), x)), scalar(attributes.number(1), x));
}

Value body_silu(Emitter&, std::span<const Value> inputs, const Attributes&) { return inputs[0] * sigmoid(inputs[0]); }

Value body_gelu(Emitter&, std::span<const Value> inputs, const Attributes&) {
  const Value& x = inputs[0];
  return 0.5 * x * (1.0 + tanh(0.7978845608028654 * (x + 0.044715 * x * (x * x))));
}

Value body_gelu_erf(Emitter&, std::span<const Value> inputs, const Attributes&) {
  const Value& x = inputs[0];
  return 0.5 * x * (1.0 + erf(0.70710678118654752440 * x));
}

Value body_one_hot(Emitter& emitter, std::span<const Value> inputs, const Attributes& attributes) {
  const Type type = type_of(inputs[0]);
  if (!is_integer(type.dtype)) throw UserError("one_hot: takes integers, got " + to_string(type));
  Shape column = type.shape;
  column.insert(column.rank(), 1);
  const Value numbers = emitter.emit(Op::arange, {}, Attributes::of(attributes[0], type.dtype))[0];
  return cast(equal(reshape(inputs[0], column), numbers), attributes.dtype(1));
}

Value body_index_select(Emitter&, std::span<const Value> inputs, const Attributes& attributes) {
  const int rank = type_of(inputs[0]).shape.rank(), inserted = type_of(inputs[1]).shape.rank();
  const int axis = static_cast<int>(normalize_axis(attributes[0], rank, "index_select"));
  std::vector<int64_t> to_front{axis}, back;
  for (int i = 0; i < rank; ++i)
    if (i != axis) to_front.push_back(i);
  // The result has the indices' axes first; the axes of a that were before `axis` go in front of them.
  for (int i = 0; i < axis; ++i) back.push_back(inserted + i);
  for (int i = 0; i < inserted; ++i) back.push_back(i);
  for (int i = axis; i + 1 < rank; ++i) back.push_back(inserted + i);
  return permute(take(permute(inputs[0], to_front), inputs[1]), back);
}

Value body_mse_loss(Emitter&, std::span<const Value> inputs, const Attributes&) {
  return mean(square(inputs[0] - inputs[1]));
}

Value body_binary_cross_entropy_with_logits(Emitter&, std::span<const Value> inputs, const Attributes&) {
  return mean(softplus(inputs[0]) - inputs[0] * inputs[1]);
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
