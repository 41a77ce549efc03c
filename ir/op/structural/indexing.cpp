// Rules of the ops that read row numbers: take, index_add, gather, scatter_add.
#include <fmt/format.h>

#include "ir/op/emitter.h"
#include "ir/op/error.h"

namespace calque {

void infer_take(std::span<const Type> inputs, Attributes&, std::vector<Type>& results) {
  const Type &table = inputs[0], &indices = inputs[1];
  if (table.shape.rank() < 1 || !is_integer(indices.dtype))
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
  if (!is_integer(indices.dtype) || values.shape.rank() < index_rank || attributes[0] < 0 || !is_numeric(values.dtype) ||
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

/// The sizes of the indices, and of the other operand beside the axis, agree.
static int64_t indexed_axis(std::span<const Type> inputs, int64_t axis, bool at_axis_too, const char* op) {
  const Shape &values = inputs[0].shape, &indices = inputs[1].shape;
  axis = normalize_axis(axis, values.rank(), op);
  bool fits = is_integer(inputs[1].dtype) && values.rank() == indices.rank();
  for (int i = 0; fits && i < values.rank(); ++i) fits = values[i] == indices[i] || (i == axis && !at_axis_too);
  if (!fits)
    throw UserError(fmt::format("{}: {} and integer indices {} do not go together along axis {}", op,
                                to_string(inputs[0]), to_string(inputs[1]), axis));
  return axis;
}

void infer_gather(std::span<const Type> inputs, Attributes& attributes, std::vector<Type>& results) {
  attributes.set(0, indexed_axis(inputs, attributes[0], false, "gather"));
  results = {{inputs[0].dtype, inputs[1].shape}};
}
void gradient_gather(GradientContext& context) {
  const int64_t axis = context.attributes()[0];
  if (context.needs(0))
    context.give(0, scatter_add(context.result_gradient(), context.input(1), axis,
                                type_of(context.input(0)).shape[static_cast<int>(axis)]));
}

void infer_scatter_add(std::span<const Type> inputs, Attributes& attributes, std::vector<Type>& results) {
  attributes.set(0, indexed_axis(inputs, attributes[0], true, "scatter_add"));
  if (!is_numeric(inputs[0].dtype) || attributes[1] < 0)
    throw UserError(fmt::format("scatter_add: takes numbers and a size from 0 on, got {} and {}", to_string(inputs[0]),
                                attributes[1]));
  Shape shape = inputs[0].shape;
  shape.set(static_cast<int>(attributes[0]), attributes[1]);
  results = {{inputs[0].dtype, Shape(shape.dims())}};
}
void gradient_scatter_add(GradientContext& context) {
  if (context.needs(0))
    context.give(0, gather(context.result_gradient(), context.input(1), context.attributes()[0]));
}

int64_t index_bound(Op op, std::span<const Type> inputs, const Attributes& attributes) {
  switch (op) {
    case Op::take: return inputs[0].shape[0];
    case Op::gather: return inputs[0].shape[static_cast<int>(attributes[0])];
    case Op::index_add: return attributes[0];
    case Op::scatter_add: return attributes[1];
    case Op::index_select: return inputs[0].shape[static_cast<int>(normalize_axis(attributes[0], inputs[0].shape.rank(), "index_select"))];
    default: throw InternalError(std::string("index_bound: no bound for ") + row(op).name);
  }
}

}  // namespace calque
