// Rebuilding a graph node by node.
#include "passes/rewriter.h"

#include <functional>
#include <utility>

namespace calque::passes {

const Node& append_copy(Graph& graph, const Node& node, std::span<const ValueId> inputs) {
  if (!node.body) return graph.add(node.op, inputs, node.attributes, node.location);
  return graph.add_block(node.op, inputs, node.attributes, node.body, node.location);
}

Rewriter::Rewriter(const Graph& source, size_t inputs)
    : source_(source), graph_(source.name()), map_(source.value_count(), ~ValueId{0}) {
  graph_.reserve_like(source);
  for (size_t i = 0; i < inputs; ++i) {
    const ValueId input = source.inputs()[i];
    map_[input] = graph_.add_input(source.type(input), source.input_name(i));
  }
}

std::vector<ValueId> Rewriter::operator()(std::span<const ValueId> old) const {
  std::vector<ValueId> values;
  values.reserve(old.size());
  for (ValueId value : old) values.push_back(map_[value]);
  return values;
}

void Rewriter::copy(const Node& node) {
  const Node* const first = source_.nodes().data();
  const bool is_of_source = !std::less<>{}(&node, first) && std::less<>{}(&node, first + source_.nodes().size());
  const std::vector<ValueId> inputs = (*this)(node.inputs);
  const Node& added = is_of_source ? graph_.add_copy(source_, node, inputs) : append_copy(graph_, node, inputs);
  for (uint32_t i = 0; i < node.result_count; ++i) map_[node.result(i)] = added.result(i);
}

Graph Rewriter::finish() {
  graph_.set_outputs((*this)(source_.outputs()));
  return std::move(graph_);
}

}  // namespace calque::passes
