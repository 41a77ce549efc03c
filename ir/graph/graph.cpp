// Building graphs: every node is checked by its shape rule as it is added.
#include "ir/graph/graph.h"

#include <fmt/format.h>

#include "ir/op/error.h"

namespace calque {

ValueId Graph::add_input(const Type& type, std::string name) {
  const ValueId id = static_cast<ValueId>(values_.size());
  values_.push_back({type, kNoNode});
  input_names_.push_back(name.empty() ? fmt::format("x{}", inputs_.size()) : std::move(name));
  inputs_.push_back(id);
  return id;
}

const Node& Graph::append(Node node, std::span<const Type> result_types) {
  for (ValueId input : node.inputs)
    if (input >= values_.size()) throw InternalError("graph: an operand is not defined yet");
  node.first_result = static_cast<ValueId>(values_.size());
  node.result_count = static_cast<uint32_t>(result_types.size());
  const NodeId id = static_cast<NodeId>(nodes_.size());
  for (const Type& type : result_types) values_.push_back({type, id});
  return nodes_.emplace_back(std::move(node));
}

const Node& Graph::add(Op op, std::span<const ValueId> inputs, Attributes attributes, const void* location) {
  std::vector<Type> types;
  for (ValueId input : inputs) types.push_back(type(input));
  const std::vector<Type> results = infer(op, types, attributes);
  return append({op, attributes, {inputs.begin(), inputs.end()}, 0, 0, nullptr, location}, results);
}

const Node& Graph::add_fusion(std::span<const ValueId> inputs, Domain domain, int64_t rows, int64_t columns,
                              Graph body, const void* location) {
  std::vector<Type> results;
  for (ValueId output : body.outputs()) results.push_back(body.type(output));
  return append({Op::fusion, Attributes::of(static_cast<int64_t>(domain), rows, columns),
                 {inputs.begin(), inputs.end()}, 0, 0, std::make_shared<const Graph>(std::move(body)), location},
                results);
}

std::vector<uint32_t> Graph::use_counts() const {
  std::vector<uint32_t> counts(values_.size());
  for (const Node& node : nodes_)
    for (ValueId input : node.inputs) ++counts[input];
  for (ValueId output : outputs_) ++counts[output];
  return counts;
}

std::vector<Value> GraphEmitter::emit(Op op, std::span<const Value> inputs, Attributes attributes) {
  std::vector<ValueId> ids;
  for (const Value& input : inputs) ids.push_back(input.id);
  const Node& node = graph_.add(op, ids, attributes, location_);
  std::vector<Value> results;
  for (uint32_t i = 0; i < node.result_count; ++i) results.push_back(value(node.result(i)));
  return results;
}

}  // namespace calque
