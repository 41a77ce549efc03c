// Rules of the ops that assemble tensors from pieces or rows: pad, concat, take, index_add.
#include <fmt/format.h>

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

namespace {
bool is_index(DType dtype) { return dtype == DType::i64 || dtype == DType::i32; }
}  // namespace

void infer_take(std::span<const Type> inputs, Attributes&, std::vector<Type>& results) {
  const Type &table = inputs[0], &indices = inputs[1];
  if (table.shape.rank() < 1 || !is_index(indices.dtype))
    throw UserError(fmt::format("take: takes a table [V,...] and integer indices, got {} and {}", to_string(table),
                                to_string(indices)));
  std::vector<int64_t> dims(indices.shape.begin(), indices.shape.end());
  dims.insert(dims.end(), table.shape.begin() + 1, table.shape.end());
  results = {{table.dtype, Shape(std::span<const int64_t>(dims))}};
}
void gradient_take(GradientContext& context) {
  if (context.needs(0))
    context.give(0, index_add(context.result_gradient(), context.input(1), type_of(context.input(0)).shape[0]));
}

void infer_index_add(std::span<const Type> inputs, Attributes& attributes, std::vector<Type>& results) {
  const Type &values = inputs[0], &indices = inputs[1];
  const int index_rank = indices.shape.rank();
  if (!is_index(indices.dtype) || values.shape.rank() < index_rank || attributes[0] < 0 || !is_numeric(values.dtype) ||
      Shape(values.shape.dims().first(index_rank)) != indices.shape)
    throw UserError(fmt::format("index_add: takes numbers [N...,D...] and integer indices [N...], got {} and {}",
                                to_string(values), to_string(indices)));
  std::vector<int64_t> dims{attributes[0]};
  dims.insert(dims.end(), values.shape.begin() + index_rank, values.shape.end());
  results = {{values.dtype, Shape(std::span<const int64_t>(dims))}};
}
void gradient_index_add(GradientContext& context) {
  if (context.needs(0)) context.give(0, take(context.result_gradient(), context.input(1)));
}

}  // namespace calque
