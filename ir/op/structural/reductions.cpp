// Rules of the reductions.
#include <fmt/format.h>

#include <bitset>

#include "ir/op/emitter.h"
#include "ir/op/error.h"

namespace calque {

namespace {

/// Sorts and checks the axes (word 1 on; all when empty), and gives the shape that is left.
Shape reduced_shape(const Type& x, Attributes& attributes, const char* op) {
  std::bitset<kMaxRank> reduced;
  for (int64_t axis : attributes.list(1)) {
    const int64_t normalized = normalize_axis(axis, x.shape.rank(), op);
    if (reduced[normalized]) throw UserError(fmt::format("{}: axis {} is named twice", op, normalized));
    reduced.set(normalized);
  }
  if (attributes.list(1).empty()) reduced.set();
  std::vector<int64_t> axes, dims;
  for (int axis = 0; axis < x.shape.rank(); ++axis) {
    if (reduced[axis]) axes.push_back(axis);
    if (!reduced[axis]) dims.push_back(x.shape[axis]);
    else if (attributes.flag(0)) dims.push_back(1);
  }
  attributes.set_list(1, axes);
  return Shape(std::span<const int64_t>(dims));
}

/// The reduced value with its reduced axes back as size 1.
Value with_kept_axes(const Value& value, const GradientContext& context) {
  if (context.attributes().flag(0)) return value;
  Shape shape = type_of(context.input(0)).shape;
  for (int64_t axis : context.attributes().list(1)) shape.set(axis, 1);
  return reshape(value, shape);
}

}  // namespace

void infer_sum(std::span<const Type> inputs, Attributes& attributes, std::vector<Type>& results) {
  if (!is_numeric(inputs[0].dtype)) throw UserError("sum: takes numbers, got bool; cast it first");
  results = {{inputs[0].dtype, reduced_shape(inputs[0], attributes, "sum")}};
}
void gradient_sum(GradientContext& context) {
  if (context.needs(0))
    context.give(0, expand(with_kept_axes(context.result_gradient(), context), type_of(context.input(0)).shape));
}

void infer_max(std::span<const Type> inputs, Attributes& attributes, std::vector<Type>& results) {
  if (!is_numeric(inputs[0].dtype)) throw UserError("max: takes numbers, got bool; cast it first");
  const Shape shape = reduced_shape(inputs[0], attributes, "max");
  for (int64_t axis : attributes.list(1))
    if (inputs[0].shape[axis] == 0)
      throw UserError(fmt::format("max: axis {} of {} is empty and has no largest element", axis, to_string(inputs[0])));
  results = {{inputs[0].dtype, shape}};
}
/// Elements equal to the maximum share its gradient equally.
void gradient_max(GradientContext& context) {
  if (!context.needs(0)) return;
  const Value& x = context.input(0);
  const Value chosen = equal(x, with_kept_axes(context.result(), context));
  const Value ones = where(chosen, scalar(1.0, x), scalar(0.0, x));
  const Value count = sum(ones, context.attributes().list(1), true);
  context.give(0, ones * (with_kept_axes(context.result_gradient(), context) / count));
}

void infer_argmax(std::span<const Type> inputs, Attributes& attributes, std::vector<Type>& results) {
  if (!is_numeric(inputs[0].dtype)) throw UserError("argmax: takes numbers, got bool; cast it first");
  Shape shape = inputs[0].shape;
  const int64_t axis = normalize_axis(attributes[0], shape.rank(), "argmax");
  if (shape[axis] == 0) throw UserError(fmt::format("argmax: axis {} of {} is empty", axis, to_string(inputs[0])));
  attributes.set(0, axis);
  shape.erase(static_cast<int>(axis));
  results = {{DType::i64, shape}};
}
void gradient_argmax(GradientContext&) {}

}  // namespace calque
