// Dead code elimination: one walk from the outputs backwards, one copy forwards.
#include "passes/dce.h"

#include <vector>

#include "passes/rewriter.h"

namespace calque::passes {

namespace {

/// Indices that come from outside were checked before; others are checked when the op runs, so it has to run.
bool may_throw(const Graph& graph, const Node& node) {
  return row(node.op).kind == OpKind::indexing && !graph.is_input(node.inputs[1]);
}

}  // namespace

Graph dce(const Graph& graph) {
  std::vector<bool> live(graph.nodes().size());
  const auto mark = [&](ValueId value) {
    if (!graph.is_input(value)) live[graph.producer(value)] = true;
  };
  for (ValueId output : graph.outputs()) mark(output);
  for (size_t id = 0; id < live.size(); ++id) live[id] = live[id] || may_throw(graph, graph.node(id));
  for (size_t id = live.size(); id-- > 0;)
    if (live[id])
      for (ValueId input : graph.node(id).inputs) mark(input);

  Rewriter rewrite(graph);
  for (size_t id = 0; id < live.size(); ++id)
    if (live[id]) rewrite.copy(graph.node(id));
  return rewrite.finish();
}

}  // namespace calque::passes
