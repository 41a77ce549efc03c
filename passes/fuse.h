// Gathers elementwise ops, row-wise reductions and index maps into fusion nodes, each one kernel.
#pragma once

#include "ir/graph/graph.h"

namespace calque::passes {

/// Expects canonical reductions and aligned operands; what does not fit a fusion stays as it is. See
/// passes/fusion_groups.h for the policy and ir/graph/verifier.h for what a fusion holds.
Graph fuse(const Graph& graph);

}  // namespace calque::passes
