// Writes every reduction as reductions of one axis each, the last one first, which is how their bits are
// defined.
#pragma once

#include "ir/graph/graph.h"

namespace calque::passes {

/// Afterwards each reduction has one axis and keepdim. An innermost axis (ir/op/reduction.h) is the last one
/// of its operand and a leading one is the first of two, so that fusions can take them; reshapes stand
/// between.
Graph canonical_reductions(const Graph& graph);

}  // namespace calque::passes
