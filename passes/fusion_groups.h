// Which nodes are fused with which: the policy of the fuse pass.
#pragma once

#include <vector>

#include "ir/graph/graph.h"
#include "passes/fusion_rules.h"
#include "passes/group_order.h"

namespace calque::passes {

/// A set of nodes to become one fusion, or one node that stays (`fused` false, then `nodes` has one entry).
struct FusionGroup {
  bool fused = false;
  Domain domain = Domain::rows;
  int64_t rows = 1, columns = 1;
  std::vector<NodeId> nodes;  // in topological order
};

/// All nodes in groups, in an order in which they can run. Constants (FusionRole) come as single nodes; who
/// reads them copies them.
std::vector<FusionGroup> find_fusion_groups(const Graph& graph);

}  // namespace calque::passes
