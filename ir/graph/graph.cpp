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
  types.reserve(inputs.size());
  for (ValueId input : inputs) types.push_back(type(input));
  const std::vector<Type> results = infer(op, types, attributes);
  return append({op, attributes, {inputs.begin(), inputs.end()}, 0, 0, nullptr, location}, results);
}

LoopForm LoopForm::of(const Attributes& attributes) {
  return {attributes[0], static_cast<size_t>(attributes[1]), static_cast<size_t>(attributes[2]), attributes.flag(3)};
}

std::vector<Type> block_result_types(Op op, const Attributes& attributes, const Graph& body) {
  std::vector<Type> results;
  for (ValueId output : body.outputs()) {
    Type type = body.type(output);
    const bool stacked = op == Op::loop && results.size() >= static_cast<size_t>(attributes[1]);
    if (stacked) {
      type.shape.insert(0, attributes[0]);
      type.shape = Shape(type.shape.dims());  // which checks the sizes
    }
    results.push_back(type);
  }
  return results;
}

const Node& Graph::add_block(Op op, std::span<const ValueId> inputs, const Attributes& attributes,
                             std::shared_ptr<const Graph> body, const void* location) {
  const std::vector<Type> results = block_result_types(op, attributes, *body);
  return append({op, attributes, {inputs.begin(), inputs.end()}, 0, 0, std::move(body), location}, results);
}

const Node& Graph::add_fusion(std::span<const ValueId> inputs, Domain domain, int64_t rows, int64_t columns,
                              Graph body, const void* location) {
  return add_block(Op::fusion, inputs, Attributes::of(static_cast<int64_t>(domain), rows, columns),
                   std::make_shared<const Graph>(std::move(body)), location);
}

const Node& Graph::add_loop(std::span<const ValueId> inputs, const LoopForm& form, Graph body, const void* location) {
  const Attributes attributes = Attributes::of(form.length, static_cast<int64_t>(form.carried),
                                               static_cast<int64_t>(form.scanned), form.reverse);
  return add_block(Op::loop, inputs, attributes, std::make_shared<const Graph>(std::move(body)), location);
}

const Node& Graph::add_copy(const Graph& source, const Node& node, std::span<const ValueId> inputs) {
  bool has_same_types = inputs.size() == node.inputs.size();
  for (size_t i = 0; i < inputs.size() && has_same_types; ++i) has_same_types = type(inputs[i]) == source.type(node.inputs[i]);
  if (!has_same_types)
    return node.body ? add_block(node.op, inputs, node.attributes, node.body, node.location)
                     : add(node.op, inputs, node.attributes, node.location);
  const ValueId first = static_cast<ValueId>(values_.size());
  const NodeId id = static_cast<NodeId>(nodes_.size());
  for (uint32_t i = 0; i < node.result_count; ++i) values_.push_back({source.type(node.result(i)), id});
  nodes_.push_back({node.op, node.attributes, {inputs.begin(), inputs.end()}, first, node.result_count, node.body, node.location});
  return nodes_.back();
}

void Graph::set_block(NodeId id, std::shared_ptr<const Graph> body) {
  Node& node = nodes_[id];
  const std::vector<Type> results = block_result_types(node.op, node.attributes, *body);
  bool has_same_types = results.size() == node.result_count;
  for (uint32_t i = 0; i < node.result_count && has_same_types; ++i) has_same_types = results[i] == type(node.result(i));
  if (!has_same_types) throw InternalError("graph: a block was replaced by one that gives other types");
  node.body = std::move(body);
}

void Graph::reserve_like(const Graph& other) {
  nodes_.reserve(other.nodes_.size());
  values_.reserve(other.values_.size());
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
