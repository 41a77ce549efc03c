// Algebra on values: rewrites that read as equations, hold in every bit, and never make a program longer.
#pragma once

#include "ir/graph/graph.h"

namespace calque::passes {

/// Not for a graph that is still to be differentiated: dropping a value changes the order in which gradients
/// are added.
Graph simplify(const Graph& graph);

}  // namespace calque::passes
