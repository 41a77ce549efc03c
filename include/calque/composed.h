// Functions composed of ops: other shapes, parts and ranges. Included by ops.h.
#pragma once

#include "calque/ops.h"

#pragma GCC visibility push(default)

namespace calque {

/// Without the axes of size 1 among `axes` (all of them when empty). UserError for one of another size.
Tensor squeeze(const Tensor& x, Ints axes = {});
/// One axis in place of the axes first to last, both included.
Tensor flatten(const Tensor& x, int64_t first = 0, int64_t last = -1);
/// Elements start, start + step, ... before `stop` of one axis. With a negative step from `start` down to above `stop`, as a
/// copy. Bounds from -size on count from the end and are clipped to the axis, as Python's slices.
Tensor slice(const Tensor& x, int64_t axis, int64_t start, int64_t stop, int64_t step);
/// At most `parts` pieces of one axis, each a view, all but the last of the same size.
std::vector<Tensor> chunk(const Tensor& x, int64_t parts, int64_t axis = 0);

/// start, start + step, ... before `stop`, each computed in f64 and rounded to `dtype`. UserError for a step of 0.
Tensor arange(double start, double stop, double step, DType dtype = DType::f32);
/// `count` numbers evenly spaced from start to stop, both included.
Tensor linspace(double start, double stop, int64_t count, DType dtype = DType::f32);
/// 1 on the diagonal of [rows, columns], else 0.
Tensor eye(int64_t rows, int64_t columns, DType dtype = DType::f32);
Tensor eye(int64_t size, DType dtype = DType::f32);
Tensor full_like(const Tensor& x, double value);
Tensor zeros_like(const Tensor& x);
Tensor ones_like(const Tensor& x);

/// The rows of a table [V, ...] that the indices name: take.
[[gnu::always_inline]] inline Tensor embedding(const Tensor& table, const Tensor& indices) {
  return take(table, indices);
}
/// take along an axis: index_select.
[[gnu::always_inline]] inline Tensor take(const Tensor& x, const Tensor& indices, int64_t axis) {
  return index_select(x, indices, axis);
}
/// The place of the largest (smallest) element among all in row-major order.
[[gnu::always_inline]] inline Tensor argmax(const Tensor& x) { return argmax(reshape(x, {-1}), 0); }
[[gnu::always_inline]] inline Tensor argmin(const Tensor& x) { return argmin(reshape(x, {-1}), 0); }

}  // namespace calque

#pragma GCC visibility pop
