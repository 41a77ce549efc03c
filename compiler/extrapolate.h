// Walks the programs of a few neighbouring calls side by side and builds the one that they lead to.
#pragma once

#include <span>

#include "compiler/segment_graph.h"

namespace calque {

/// Something does not grow evenly: thrown, and caught by who would rather unroll a loop.
struct Uneven {};

inline void demand(bool condition) {
  if (!condition) throw Uneven{};
}

/// The program to which `steps` lead, of calls in the order of Neighbours. They must be the same but for numbers, and these must
/// grow evenly; Uneven otherwise. Padding (see SegmentGraph) shrinks to nothing. Which slots and values sequences are of is left as it is
/// in the first.
SegmentGraph extrapolate(std::span<const SegmentGraph* const> neighbours, std::span<const int64_t> steps);

}  // namespace calque
