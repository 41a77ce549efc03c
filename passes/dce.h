// Drops the nodes that no output depends on and that cannot throw; inputs stay, they are the graph's
// signature.
#pragma once

#include "ir/graph/graph.h"

namespace calque::passes {

Graph dce(const Graph& graph);

}  // namespace calque::passes
