// Moves work out of loops.
#pragma once

#include "ir/graph/graph.h"

namespace calque::passes {

/// What is the same in all steps is computed once before the loop. Products and rows taken that depend on the sequences alone are
/// made for all steps at once: `x_t W` of every step becomes one product before the loop, unless it has many rows and is added
/// to a product of the loop. Bits do not change.
Graph hoist(const Graph& graph);

}  // namespace calque::passes
