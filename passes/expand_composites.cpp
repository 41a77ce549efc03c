// Replaces each composite op by its body; a body made of composites is expanded in turn.
#include "passes/expand_composites.h"

#include <algorithm>
#include <utility>

#include "passes/rewriter.h"

namespace calque::passes {

namespace {

bool is_composite(const Node& node) { return row(node.op).kind == OpKind::composite; }

Graph expand_once(const Graph& graph) {
  Rewriter rewrite(graph);
  for (const Node& node : graph.nodes()) {
    if (!is_composite(node)) {
      rewrite.copy(node);
      continue;
    }
    GraphEmitter emitter(rewrite.graph());
    emitter.set_location(node.location);
    std::vector<Value> inputs;
    for (ValueId input : node.inputs) inputs.push_back(emitter.value(rewrite(input)));
    rewrite.set(node.result(), row(node.op).body(emitter, inputs, node.attributes).id);
  }
  return rewrite.finish();
}

}  // namespace

Graph expand_composites(const Graph& graph) {
  Graph expanded = expand_once(graph);
  while (std::ranges::any_of(expanded.nodes(), is_composite)) expanded = expand_once(expanded);
  return expanded;
}

}  // namespace calque::passes
