// Functions over values, and what gradient rules share.
#include "ir/op/emitter.h"

namespace calque {

namespace {

Emitter& emitter_of(std::span<const Value* const> inputs) { return *inputs[0]->emitter; }

std::vector<Value> apply_several(Op op, std::span<const Value* const> inputs, const Attributes& attributes) {
  std::vector<Value> values;
  for (const Value* input : inputs) values.push_back(*input);
  return emitter_of(inputs).emit(op, values, attributes);
}

Value apply(Op op, std::span<const Value* const> inputs, const Attributes& attributes) {
  return apply_several(op, inputs, attributes)[0];
}

std::vector<const Value*> pointers_to(std::span<const Value> values) {
  std::vector<const Value*> pointers;
  for (const Value& value : values) pointers.push_back(&value);
  return pointers;
}

Value constant(Emitter& emitter, const Shape& shape, double value, DType dtype) {
  return emitter.emit(Op::full, {}, Attributes::of(value, dtype, Ints(shape)))[0];
}

}  // namespace

#define CALQUE_HANDLE Value
#define CALQUE_DEFINE_FUNCTIONS
#include "ir/op/functions.inc"
#undef CALQUE_DEFINE_FUNCTIONS
#undef CALQUE_HANDLE

Value scalar(double value, const Value& like) { return constant(*like.emitter, {}, value, type_of(like).dtype); }

Value full_like(const Value& like, double value) {
  const Type type = type_of(like);
  return constant(*like.emitter, type.shape, value, type.dtype);
}

Value reduce_to(const Value& value, const Shape& target) {
  const Shape shape = type_of(value).shape;
  if (shape == target) return value;
  const int extra = shape.rank() - target.rank();
  std::vector<int64_t> axes;
  for (int axis = 0; axis < shape.rank(); ++axis)
    if (axis < extra || (target[axis - extra] == 1 && shape[axis] != 1)) axes.push_back(axis);
  const Value reduced = axes.empty() ? value : sum(value, axes, true);
  return type_of(reduced).shape == target ? reduced : reshape(reduced, target);
}

Value accumulate(const Value& a, const Value& b) {
  if (!a) return b;
  return b ? add(a, b) : a;
}

void GradientContext::give(int i, const Value& gradient) {
  if (!gradient) return;
  gradients_[i] = accumulate(gradients_[i], reduce_to(gradient, type_of(inputs_[i]).shape));
}

}  // namespace calque
