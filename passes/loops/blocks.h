// Passes that look into loops.
#pragma once

#include "ir/graph/graph.h"

namespace calque::passes {

/// The graph with the block of each loop replaced by `transform(block)`, which has the same inputs and outputs.
template <class Transform>
Graph in_loops(const Graph& graph, const Transform& transform);

bool has_loops(const Graph& graph);

}  // namespace calque::passes

#include <algorithm>
#include <memory>

#include "passes/rewriter.h"

namespace calque::passes {

inline bool has_loops(const Graph& graph) {
  return std::ranges::any_of(graph.nodes(), [](const Node& node) { return node.op == Op::loop; });
}

template <class Transform>
Graph in_loops(const Graph& graph, const Transform& transform) {
  if (!has_loops(graph)) return graph;
  Rewriter rewrite(graph);
  for (const Node& node : graph.nodes()) {
    Node changed = node;
    if (node.op == Op::loop) changed.body = std::make_shared<const Graph>(transform(*node.body));
    rewrite.copy(changed);
  }
  return rewrite.finish();
}

}  // namespace calque::passes
