// Strides: how many elements lie between neighbours along each axis of a tensor.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>

#include "ir/op/type.h"

namespace calque {

using Strides = std::array<int64_t, kMaxRank>;  // 0 behind the shape's rank, where made here

/// Of elements that lie in row-major order without gaps.
inline Strides row_major_strides(const Shape& shape) {
  Strides strides{};
  int64_t step = 1;
  for (int axis = shape.rank() - 1; axis >= 0; --axis) {
    strides[axis] = step;
    step *= shape[axis];
  }
  return strides;
}

/// Whether the strides are those; an axis of one element is no exception.
inline bool is_row_major(const Shape& shape, const Strides& strides) {
  const Strides dense = row_major_strides(shape);
  return std::equal(dense.begin(), dense.begin() + shape.rank(), strides.begin());
}

}  // namespace calque
