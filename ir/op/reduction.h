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
// Identities and joins are those of the REDUCTION rows; the accumulated value is the first operand of a join.
#pragma once

#include <cstdint>

namespace calque::reduction {

inline constexpr int64_t kLanes = 32;
inline constexpr int64_t kBlock = 4096;
inline constexpr int64_t kOuterBlock = 64;

}  // namespace calque::reduction
