// Constant folding: an elementwise op on constants is a constant, as the reference interpreter computes it.
#pragma once

#include "ir/graph/graph.h"

namespace calque::passes {

/// No gradient flows through constants, so this is for any graph.
Graph fold(const Graph& graph);

}  // namespace calque::passes
