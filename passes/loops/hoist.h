// Moves work out of loops.
#pragma once

#include "ir/graph/graph.h"

namespace calque::passes {

/// What is the same in all steps is computed once before the loop. Rows taken, and products of few rows, that depend on the
/// sequences alone are made for all steps at once: `x_t W` of every step becomes one product before the loop. Bits do not change.
Graph hoist(const Graph& graph);

}  // namespace calque::passes
