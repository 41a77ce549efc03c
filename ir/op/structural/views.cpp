// Rules of the views: the same elements under another index map.
#include <fmt/format.h>

#include <bitset>

#include "ir/op/emitter.h"
#include "ir/op/error.h"

namespace calque {

void infer_reshape(std::span<const Type> inputs, Attributes& attributes, std::vector<Type>& results) {
  const Type& x = inputs[0];
  std::vector<int64_t> dims(attributes.list(0).begin(), attributes.list(0).end());
  const int64_t elements = x.shape.element_count();
  int64_t open = -1;
  for (size_t i = 0; i < dims.size(); ++i) {
    if (dims[i] == -1 && open < 0) open = static_cast<int64_t>(i);
    else if (dims[i] < 0) throw UserError(fmt::format("reshape: size {} in axis {} is negative", dims[i], i));
  }
  if (open >= 0) dims[open] = 1;
  const int64_t known = Shape(std::span<const int64_t>(dims)).element_count();  // checked against overflow
  if (open >= 0 && known > 0) dims[open] = elements / known;
  if (open >= 0 && known == 0) throw UserError("reshape: -1 beside a size of 0 has no single meaning");
  const Shape shape{std::span<const int64_t>(dims)};
  if (shape.element_count() != elements)
    throw UserError(fmt::format("reshape: {} has {} elements, {} has {}", to_string(x), elements, to_string(shape),
                                shape.element_count()));
  attributes.set_list(0, shape.dims());
  results = {{x.dtype, shape}};
}
void gradient_reshape(GradientContext& context) {
  if (context.needs(0)) context.give(0, reshape(context.result_gradient(), type_of(context.input(0)).shape));
}

void infer_permute(std::span<const Type> inputs, Attributes& attributes, std::vector<Type>& results) {
  const Shape& shape = inputs[0].shape;
  std::bitset<kMaxRank> seen;
  Shape permuted = shape;
  if (static_cast<int>(attributes.list(0).size()) != shape.rank())
    throw UserError(fmt::format("permute: {} axes for {}", attributes.list(0).size(), to_string(inputs[0])));
  for (int i = 0; i < shape.rank(); ++i) {
    const int64_t axis = normalize_axis(attributes[i], shape.rank(), "permute");
    if (seen[axis]) throw UserError(fmt::format("permute: axis {} is named twice", axis));
    seen.set(axis);
    attributes.set(i, axis);
    permuted.set(i, shape[axis]);
  }
  results = {{inputs[0].dtype, permuted}};
}
void gradient_permute(GradientContext& context) {
  if (!context.needs(0)) return;
  const std::span<const int64_t> axes = context.attributes().list(0);
  std::vector<int64_t> inverse(axes.size());
  for (size_t i = 0; i < axes.size(); ++i) inverse[axes[i]] = static_cast<int64_t>(i);
  context.give(0, permute(context.result_gradient(), inverse));
}

void infer_expand(std::span<const Type> inputs, Attributes& attributes, std::vector<Type>& results) {
  const Shape target(attributes.list(0));
  if (inputs[0].shape.rank() > target.rank() || broadcast_shapes(inputs[0].shape, target, "expand") != target)
    throw UserError(fmt::format("expand: {} does not broadcast to {}", to_string(inputs[0]), to_string(target)));
  results = {{inputs[0].dtype, target}};
}
void gradient_expand(GradientContext& context) {
  if (context.needs(0)) context.give(0, context.result_gradient());  // `give` sums what was repeated
}

void infer_detach(std::span<const Type> inputs, Attributes&, std::vector<Type>& results) { results = {inputs[0]}; }
void gradient_detach(GradientContext&) {}

void infer_slice(std::span<const Type> inputs, Attributes& attributes, std::vector<Type>& results) {
  Shape shape = inputs[0].shape;
  const int64_t axis = normalize_axis(attributes[0], shape.rank(), "slice"), size = shape[axis];
  const int64_t start = attributes[1] < 0 ? attributes[1] + size : attributes[1];
  const int64_t stop = attributes[2] < 0 ? attributes[2] + size : attributes[2];
  if (start < 0 || stop > size || start > stop)
    throw UserError(fmt::format("slice: {}:{} is out of range for axis {} of {}", attributes[1], attributes[2], axis,
                                to_string(inputs[0])));
  attributes.set(0, axis);
  attributes.set(1, start);
  attributes.set(2, stop);
  shape.set(axis, stop - start);
  results = {{inputs[0].dtype, shape}};
}
void gradient_slice(GradientContext& context) {
  if (!context.needs(0)) return;
  const Attributes& attributes = context.attributes();
  const int64_t size = type_of(context.input(0)).shape[attributes[0]];
  context.give(0, pad(context.result_gradient(), attributes[0], attributes[1], size - attributes[2]));
}

void infer_every(std::span<const Type> inputs, Attributes& attributes, std::vector<Type>& results) {
  Shape shape = inputs[0].shape;
  const int64_t axis = normalize_axis(attributes[0], shape.rank(), "every"), step = attributes[1];
  if (step < 1) throw UserError(fmt::format("every: a step of {}; flip the axis and take positive steps", step));
  attributes.set(0, axis);
  shape.set(axis, shape[axis] / step + (shape[axis] % step != 0));
  results = {{inputs[0].dtype, shape}};
}
/// Zeros between the steps: each step becomes a group of one and padding, the groups are joined and cut to size.
void gradient_every(GradientContext& context) {
  if (!context.needs(0)) return;
  const Value& g = context.result_gradient();
  const Shape shape = type_of(context.input(0)).shape;
  const int axis = static_cast<int>(context.attributes()[0]);
  const int64_t size = shape[axis], count = type_of(g).shape[axis];
  const int64_t step = std::min(context.attributes()[1], std::max<int64_t>(size, 1));
  const auto product = [](std::span<const int64_t> sizes) {
    int64_t n = 1;
    for (int64_t each : sizes) n *= each;
    return n;
  };
  const int64_t before = product(shape.dims().first(axis)), behind = product(shape.dims().subspan(axis + 1));
  const Value groups = pad(reshape(g, {before, count, 1, behind}), 2, 0, step - 1);
  context.give(0, reshape(slice(reshape(groups, {before, count * step, behind}), 1, 0, size), shape));
}

void infer_split(std::span<const Type> inputs, Attributes& attributes, std::vector<Type>& results) {
  constexpr int64_t kMostParts = 64;
  Shape shape = inputs[0].shape;
  const int64_t parts = attributes[0], axis = normalize_axis(attributes[1], shape.rank(), "split");
  if (parts < 1 || parts > kMostParts || shape[axis] % parts != 0)
    throw UserError(fmt::format("split: axis {} of {} does not divide into {} equal parts (1 to {})", axis,
                                to_string(inputs[0]), parts, kMostParts));
  attributes.set(1, axis);
  shape.set(axis, shape[axis] / parts);
  results.assign(parts, {inputs[0].dtype, shape});
}
void gradient_split(GradientContext& context) {
  if (!context.needs(0)) return;
  std::vector<Value> pieces;
  const Value* known = nullptr;
  for (size_t i = 0; i < context.result_count(); ++i)
    if (context.result_gradient(i)) known = &context.result_gradient(i);
  if (!known) return;
  for (size_t i = 0; i < context.result_count(); ++i)
    pieces.push_back(context.result_gradient(i) ? context.result_gradient(i) : full_like(*known, 0.0));
  context.give(0, concat(pieces, context.attributes()[1]));
}

}  // namespace calque
