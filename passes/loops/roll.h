// Rolls loops that tracing left unrolled.
#pragma once

#include <utility>
#include <vector>

#include "ir/graph/graph.h"

namespace calque::passes {

/// Which nodes of the unrolled program became one, by their locations: each later iteration's node with that of the first.
using RolledNodes = std::vector<std::pair<const void*, const void*>>;

/// Each run of at least three equal iterations becomes a `loop`: what one iteration hands to the next is carried, steps cut
/// out of a tensor (or other values from outside, one for each iteration) are scanned, and what is read afterwards of more
/// than the last iteration is stacked. So does a run of at least eight that hand nothing on, and each read a step of a sequence: of
/// such a loop, `hoist` makes one op for all steps of each. Bits do not change.
Graph roll(const Graph& recorded);
/// Adds to `rolled`.
Graph roll(const Graph& recorded, RolledNodes& rolled);

}  // namespace calque::passes
