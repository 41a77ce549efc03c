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

/// Only what starts from an element of its own needs one in each group.
static void infer_reduction(Op op, const Type& x, Attributes& attributes, std::vector<Type>& results) {
  const OpRow& entry = row(op);
  if (!is_numeric(x.dtype)) throw UserError(fmt::format("{}: takes numbers, got bool; cast it first", entry.name));
  const Shape shape = reduced_shape(x, attributes, entry.name);
  const bool starts_from_nothing = entry.identity == ReductionStart::zero || entry.identity == ReductionStart::one;
  for (int64_t axis : attributes.list(1))
    if (x.shape[axis] == 0 && !starts_from_nothing)
      throw UserError(fmt::format("{}: axis {} of {} is empty and has no such element", entry.name, axis, to_string(x)));
  results = {{x.dtype, shape}};
}
#define REDUCTION(name, ...)                                                                              \
  void infer_##name(std::span<const Type> inputs, Attributes& attributes, std::vector<Type>& results) {   \
    infer_reduction(Op::name, inputs[0], attributes, results);                                            \
  }
#include "ir/op/all_reductions.inc"

void gradient_sum(GradientContext& context) {
  if (context.needs(0))
    context.give(0, expand(with_kept_axes(context.result_gradient(), context), type_of(context.input(0)).shape));
}

/// Elements equal to the extreme share its gradient equally.
static void gradient_extreme(GradientContext& context) {
  if (!context.needs(0)) return;
  const Value& x = context.input(0);
  const Value chosen = equal(x, with_kept_axes(context.result(), context));
  const Value ones = where(chosen, scalar(1.0, x), scalar(0.0, x));
  const Value count = sum(ones, context.attributes().list(1), true);
  context.give(0, ones * (with_kept_axes(context.result_gradient(), context) / count));
}

void gradient_max(GradientContext& context) { gradient_extreme(context); }
void gradient_min(GradientContext& context) { gradient_extreme(context); }

/// The product of the other elements: y / x without zeros; with one zero, the product of the rest, for it alone.
void gradient_prod(GradientContext& context) {
  if (!context.needs(0)) return;
  const Value& x = context.input(0);
  const std::span<const int64_t> axes = context.attributes().list(1);
  const Value is_zero = equal(x, scalar(0.0, x));
  const Value without_zeros = where(is_zero, scalar(1.0, x), x);
  const Value zeros = sum(where(is_zero, scalar(1.0, x), scalar(0.0, x)), axes, true);
  const Value rest = prod(without_zeros, axes, true);
  const Value others = where(is_zero, where(equal(zeros, scalar(1.0, x)), rest, 0.0),
                             where(zeros > 0.0, 0.0, rest / without_zeros));
  context.give(0, others * with_kept_axes(context.result_gradient(), context));
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
