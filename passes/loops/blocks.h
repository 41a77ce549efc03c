// Passes that look into loops.
#pragma once

#include <algorithm>
#include <memory>

#include "ir/graph/graph.h"

namespace calque::passes {

/// The graph with the block of each loop replaced by `transform(block)`, which has the same inputs and outputs.
template <class Transform>
Graph in_loops(Graph graph, const Transform& transform) {
  for (NodeId id = 0; id < graph.nodes().size(); ++id)
    if (graph.node(id).op == Op::loop)
      graph.set_block(id, std::make_shared<const Graph>(transform(*graph.node(id).body)));
  return graph;
}

inline bool has_loops(const Graph& graph) {
  return std::ranges::any_of(graph.nodes(), [](const Node& node) { return node.op == Op::loop; });
}

}  // namespace calque::passes
