// Rules of the ops that assemble tensors from pieces: pad, concat, flip.
#include <fmt/format.h>

#include <bitset>

#include "ir/op/emitter.h"
#include "ir/op/error.h"

namespace calque {

void infer_pad(std::span<const Type> inputs, Attributes& attributes, std::vector<Type>& results) {
  Shape shape = inputs[0].shape;
  const int64_t axis = normalize_axis(attributes[0], shape.rank(), "pad");
  if (attributes[1] < 0 || attributes[2] < 0) throw UserError("pad: before and after must not be negative");
  int64_t size = shape[axis];
  if (__builtin_add_overflow(size, attributes[1], &size) || __builtin_add_overflow(size, attributes[2], &size))
    throw UserError("pad: the padded axis is longer than 64 bits can say");
  attributes.set(0, axis);
  shape.set(axis, size);
  results = {{inputs[0].dtype, Shape(shape.dims())}};  // checked again: the element count grew
}
void gradient_pad(GradientContext& context) {
  const Attributes& attributes = context.attributes();
  const int64_t size = type_of(context.input(0)).shape[attributes[0]];
  if (context.needs(0))
    context.give(0, slice(context.result_gradient(), attributes[0], attributes[1], attributes[1] + size));
}

void infer_concat(std::span<const Type> inputs, Attributes& attributes, std::vector<Type>& results) {
  Shape shape = inputs[0].shape;
  const int64_t axis = normalize_axis(attributes[0], shape.rank(), "concat");
  attributes.set(0, axis);
  int64_t total = 0;
  for (const Type& input : inputs) {
    Shape expected = input.shape;
    if (input.dtype == inputs[0].dtype && expected.rank() == shape.rank()) expected.set(axis, shape[axis]);
    if (expected != shape || input.dtype != inputs[0].dtype)
      throw UserError(fmt::format("concat: {} and {} differ beside axis {}", to_string(inputs[0]), to_string(input), axis));
    if (__builtin_add_overflow(total, input.shape[axis], &total))
      throw UserError("concat: the joined axis is longer than 64 bits can say");
  }
  shape.set(axis, total);
  results = {{inputs[0].dtype, Shape(shape.dims())}};
}
void gradient_concat(GradientContext& context) {
  const int64_t axis = context.attributes()[0];
  int64_t start = 0;
  for (size_t i = 0; i < context.input_count(); ++i) {
    const int64_t size = type_of(context.input(i)).shape[axis];
    if (context.needs(i)) context.give(i, slice(context.result_gradient(), axis, start, start + size));
    start += size;
  }
}

void infer_flip(std::span<const Type> inputs, Attributes& attributes, std::vector<Type>& results) {
  const int rank = inputs[0].shape.rank();
  std::bitset<kMaxRank> flipped;
  for (int64_t axis : attributes.list(0)) {
    const int64_t normalized = normalize_axis(axis, rank, "flip");
    if (flipped[normalized]) throw UserError(fmt::format("flip: axis {} is named twice", normalized));
    flipped.set(normalized);
  }
  if (attributes.list(0).empty()) flipped.set();
  std::vector<int64_t> axes;
  for (int axis = 0; axis < rank; ++axis)
    if (flipped[axis]) axes.push_back(axis);
  attributes.set_list(0, axes);
  results = {inputs[0]};
}
void gradient_flip(GradientContext& context) {
  if (context.needs(0)) context.give(0, flip(context.result_gradient(), context.attributes().list(0)));
}

}  // namespace calque
