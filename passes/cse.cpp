// Common subexpression elimination by hashing nodes with their operands already carried over.
#include "passes/cse.h"

#include <unordered_map>

#include "passes/rewriter.h"

namespace calque::passes {

namespace {

uint64_t mix(uint64_t hash, uint64_t word) {
  hash = (hash ^ word) * 0x9E3779B97F4A7C15ull;
  return hash ^ (hash >> 32);
}

uint64_t hash_of(const Node& node, std::span<const ValueId> inputs) {
  uint64_t hash = static_cast<uint64_t>(node.op);
  for (int i = 0; i < node.attributes.size(); ++i) hash = mix(hash, node.attributes[i]);
  for (ValueId input : inputs) hash = mix(hash, input);
  return hash;
}

}  // namespace

Graph cse(const Graph& graph) { return cse(graph, std::vector<bool>(graph.nodes().size())); }

Graph cse(const Graph& graph, const std::vector<bool>& apart) {
  Rewriter rewrite(graph);
  std::unordered_multimap<uint64_t, NodeId> known;  // by hash: nodes of the new graph
  known.reserve(graph.nodes().size());
  for (NodeId id = 0; id < graph.nodes().size(); ++id) {
    const Node& node = graph.node(id);
    if (apart[id]) {
      rewrite.copy(node);
      continue;
    }
    const std::vector<ValueId> inputs = rewrite(node.inputs);
    const uint64_t hash = hash_of(node, inputs);
    const Node* first = nullptr;
    for (auto [it, end] = known.equal_range(hash); it != end && !first; ++it) {
      const Node& other = rewrite.graph().node(it->second);
      if (other.op == node.op && !other.body && other.attributes == node.attributes && other.inputs == inputs)
        first = &other;
    }
    if (!first) {
      rewrite.copy(node);
      known.emplace(hash, static_cast<NodeId>(rewrite.graph().nodes().size() - 1));
      continue;
    }
    for (uint32_t i = 0; i < node.result_count; ++i) rewrite.set(node.result(i), first->result(i));
  }
  return rewrite.finish();
}

}  // namespace calque::passes
