// Common subexpressions: of nodes with the same op, attributes and operands only the first stays.
#pragma once

#include <vector>

#include "ir/graph/graph.h"

namespace calque::passes {

/// Not for a graph that is still to be differentiated: the gradients of merged values would be added in
/// another order.
Graph cse(const Graph& graph);
/// The same, leaving alone the nodes marked in `apart`.
Graph cse(const Graph& graph, const std::vector<bool>& apart);

}  // namespace calque::passes
