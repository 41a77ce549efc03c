// Rolls loops that tracing left unrolled.
#pragma once

#include <utility>
#include <vector>

#include "ir/graph/graph.h"

namespace calque::passes {

/// Which nodes of the unrolled program became one: each later iteration's node with that of the first.
using RolledNodes = std::vector<std::pair<NodeId, NodeId>>;

/// Each run of at least three equal iterations becomes a `loop`: what one iteration hands to the next is carried, steps cut
/// out of a tensor (or other values from outside, one for each iteration) are scanned, and what is read afterwards of more
/// than the last iteration is stacked. Bits do not change.
Graph roll(const Graph& recorded);

RolledNodes rolled_nodes(const Graph& graph);

}  // namespace calque::passes
