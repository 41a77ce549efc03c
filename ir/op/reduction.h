// The one tree by which every engine reduces: a function of the logical axes only, never of strides, widths or threads.
//
// An axis is *innermost* when one element lies behind each of its steps (the product of the sizes after it is 1), else
// it is *outer*. Several axes are reduced one at a time, the last one first, each kept as size 1.
//
// Innermost: blocks of kBlock elements. Within a block element i goes to lane i mod kLanes, each lane starting from the
// identity and taking its elements in order; then lanes are halved: lane j takes lane j + h for h = 16, 8, 4, 2, 1.
// Outer: blocks of kOuterBlock rows, each column from the identity taking its rows in order.
// Block results are joined pairwise in order: neighbours first, then neighbours of those, as a binary counter does (an
// odd last one moves up unchanged); one block is its own result. The identity of an empty axis is the result.
#pragma once

#include <cstdint>
#include <limits>
#include <type_traits>

namespace calque::reduction {

inline constexpr int64_t kLanes = 32;
inline constexpr int64_t kBlock = 4096;
inline constexpr int64_t kOuterBlock = 64;

/// What a reduction starts from: +0 for sum; for max, the lowest value (-inf for floats). Joined by `add` and by
/// `maximum` of the elementwise table (the accumulated value is the first operand).
template <class T>
constexpr T sum_identity() {
  return T(0);
}
template <class T>
constexpr T max_identity() {
  if constexpr (std::is_floating_point_v<T>) return -std::numeric_limits<T>::infinity();
  else return std::numeric_limits<T>::min();
}

}  // namespace calque::reduction
