// Functions composed of ops.
#include "calque/composed.h"

#include <fmt/format.h>

#include <algorithm>
#include <bitset>
#include <cmath>

namespace calque {

Tensor squeeze(const Tensor& x, Ints axes) {
  std::bitset<kMaxRank> dropped;
  for (int64_t axis : axes.values()) {
    const int64_t normalized = normalize_axis(axis, x.rank(), "squeeze");
    if (x.size(normalized) != 1)
      throw UserError(fmt::format("squeeze: axis {} of {} is not of size 1", axis, to_string(x.shape())));
    dropped.set(normalized);
  }
  Shape shape;
  for (int axis = 0; axis < x.rank(); ++axis)
    if (axes.values().empty() ? x.shape()[axis] != 1 : !dropped[axis]) shape.push_back(x.shape()[axis]);
  return reshape(x, shape);
}

Tensor flatten(const Tensor& x, int64_t first, int64_t last) {
  if (x.rank() == 0) return reshape(x, {1});
  first = normalize_axis(first, x.rank(), "flatten");
  last = normalize_axis(last, x.rank(), "flatten");
  Shape shape;
  int64_t joined = 1;
  for (int axis = 0; axis < x.rank(); ++axis) {
    if (axis < first || axis > last) shape.push_back(x.shape()[axis]);
    else joined *= x.shape()[axis];
    if (axis == last || (axis == first && last < first)) shape.push_back(joined);
  }
  return reshape(x, shape);
}

Tensor slice(const Tensor& x, int64_t axis, int64_t start, int64_t stop, int64_t step) {
  if (step == 0) throw UserError("slice: a step of 0 leads nowhere");
  axis = normalize_axis(axis, x.rank(), "slice");
  const int64_t size = x.size(axis);
  const auto clipped = [size](int64_t bound) { return std::clamp<int64_t>(bound < 0 ? bound + size : bound, 0, size); };
  if (step > 0) {
    const int64_t from = clipped(start), to = std::max(from, clipped(stop));
    const Tensor part = slice(x, axis, from, to);
    return step == 1 ? part : every(part, axis, step);
  }
  // Downwards from `start` to above `stop`: the same elements of the flipped axis. A stop before -size includes element 0.
  const int64_t from = std::min(start < 0 ? start + size : start, size - 1), to = std::max<int64_t>(stop < 0 ? stop + size : stop, -1);
  const int64_t first = size - 1 - from, behind = std::max(first, size - 1 - to);
  if (from < 0) return slice(x, axis, 0, 0);
  const Tensor part = slice(flip(x, {axis}), axis, first, std::min(behind, size));
  return step == -1 ? part : every(part, axis, step == INT64_MIN ? INT64_MAX : -step);
}

std::vector<Tensor> chunk(const Tensor& x, int64_t parts, int64_t axis) {
  axis = normalize_axis(axis, x.rank(), "chunk");
  if (parts < 1) throw UserError(fmt::format("chunk: {} pieces", parts));
  const int64_t size = x.size(axis), step = std::max<int64_t>(size / parts + (size % parts != 0), 1);
  std::vector<Tensor> pieces;
  for (int64_t start = 0; start < size || pieces.empty(); start += step)
    pieces.push_back(slice(x, axis, start, std::min(start + step, size)));
  return pieces;
}

Tensor arange(double start, double stop, double step, DType dtype) {
  const double count = std::ceil((stop - start) / step);
  if (step == 0 || !std::isfinite(count) || count > 9e15)
    throw UserError(fmt::format("arange: from {} to {} in steps of {} has no end", start, stop, step));
  if (count <= 0) return full({0}, 0.0, dtype);
  return cast(start + step * arange(static_cast<int64_t>(count), DType::f64), dtype);
}

Tensor linspace(double start, double stop, int64_t count, DType dtype) {
  if (count < 0) throw UserError(fmt::format("linspace: {} numbers", count));
  if (count < 2) return full({count}, start, dtype);
  const Tensor i = arange(count, DType::f64);
  const double last = static_cast<double>(count - 1);
  // Both ends are exact.
  return cast(where(i < last, start + i * ((stop - start) / last), stop), dtype);
}

Tensor eye(int64_t rows, int64_t columns, DType dtype) {
  return cast(equal(reshape(arange(rows), {-1, 1}), arange(columns)), dtype);
}
Tensor eye(int64_t size, DType dtype) { return eye(size, size, dtype); }

Tensor full_like(const Tensor& x, double value) { return full(x.shape(), value, x.dtype()); }
Tensor zeros_like(const Tensor& x) { return full_like(x, 0.0); }
Tensor ones_like(const Tensor& x) { return full_like(x, 1.0); }

}  // namespace calque
