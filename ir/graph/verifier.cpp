// States the rules of the IR, one function for each group of them.
#include "ir/graph/verifier.h"

#include <fmt/format.h>

#include <set>

#include "ir/op/error.h"

namespace calque {

namespace {

[[noreturn]] void fail(const Graph& graph, std::string_view where, std::string_view rule) {
  throw InternalError(fmt::format("graph @{}{}{}: {}", graph.name(), where.empty() ? "" : ", ", where, rule));
}

[[noreturn]] void fail(const Graph& graph, const Node& node, std::string_view rule) {
  fail(graph, fmt::format("%{} = {}", &node - graph.nodes().data(), row(node.op).name), rule);
}

void check_names(const Graph& graph) {
  if (!is_identifier(graph.name())) fail(graph, "", "the name of the graph is not an identifier");
  std::set<std::string_view> names;
  for (size_t i = 0; i < graph.inputs().size(); ++i) {
    const std::string& name = graph.input_name(i);
    if (!is_identifier(name)) fail(graph, "%" + name, "the name of an input is not an identifier");
    if (!names.insert(name).second) fail(graph, "%" + name, "two inputs have this name");
  }
}

/// Words of attributes: one for each scalar; a list, which comes last, takes any number.
void check_attributes(const Graph& graph, const Node& node) {
  const std::span<const AttributeSpec> specs = row(node.op).attributes;
  const bool has_list = !specs.empty() && specs.back().kind == AttributeKind::integers;
  const int scalars = static_cast<int>(specs.size()) - has_list;
  if (has_list ? node.attributes.size() < scalars : node.attributes.size() != scalars)
    fail(graph, node, "the attributes are not those that the op specifies");
  for (int i = 0; i < scalars; ++i) {
    const auto word = static_cast<uint64_t>(node.attributes[i]);
    if ((specs[i].kind == AttributeKind::dtype && word >= std::size(kAllDTypes)) ||
        (specs[i].kind == AttributeKind::boolean && word > 1))
      fail(graph, node, fmt::format("attribute `{}` has no such value", specs[i].name));
  }
}

/// The types that the shape rule gives, or those that come from the block.
std::vector<Type> expected_types(const Graph& graph, const Node& node) {
  std::vector<Type> results;
  if (node.body) return block_result_types(node.op, node.attributes, *node.body);
  std::vector<Type> inputs;
  inputs.reserve(node.inputs.size());
  for (ValueId input : node.inputs) inputs.push_back(graph.type(input));
  Attributes attributes = node.attributes;
  try {
    results = infer(node.op, inputs, attributes);
  } catch (const UserError& error) {
    fail(graph, node, fmt::format("the shape rule refuses the operands: {}", error.what()));
  }
  if (attributes != node.attributes)
    fail(graph, node, "the attributes are not as the shape rule leaves them");
  return results;
}

void check_node(const Graph& graph, NodeId id) {
  const Node& node = graph.node(id);
  for (ValueId input : node.inputs)
    if (input >= graph.value_count() || (!graph.is_input(input) && graph.producer(input) >= id))
      fail(graph, node, "an operand is not defined before it is used");
  for (uint32_t i = 0; i < node.result_count; ++i)
    if (node.result(i) >= graph.value_count() || graph.producer(node.result(i)) != id)
      fail(graph, node, "a result does not name this node as its producer");
  if ((node.op == Op::fusion || node.op == Op::loop) != (node.body != nullptr))
    fail(graph, node, "a fusion or a loop, and nothing else, has a block");
  check_attributes(graph, node);
  if (node.body) {
    verify(*node.body);
    node.op == Op::fusion ? check_fusion(graph, node) : check_loop(graph, node);
  }
  const std::vector<Type> expected = expected_types(graph, node);
  if (expected.size() != node.result_count)
    fail(graph, node, "the shape rule gives another number of results");
  for (uint32_t i = 0; i < node.result_count; ++i)
    if (graph.type(node.result(i)) != expected[i])
      fail(graph, node,
           fmt::format("result {} is {}, but the shape rule gives {}", i,
                       to_string(graph.type(node.result(i))), to_string(expected[i])));
}

/// Every value is an input or a result, once.
void check_values(const Graph& graph) {
  size_t known = graph.inputs().size();
  std::vector<bool> is_known(graph.value_count(), false);
  for (ValueId input : graph.inputs()) {
    if (input >= graph.value_count() || !graph.is_input(input) || is_known[input])
      fail(graph, "", "an input is not a value of its own");
    is_known[input] = true;
  }
  for (const Node& node : graph.nodes()) known += node.result_count;
  if (known != graph.value_count()) fail(graph, "", "a value is neither an input nor the result of a node");
}

}  // namespace

bool is_identifier(std::string_view text) {
  if (text.empty() || (text[0] >= '0' && text[0] <= '9')) return false;
  return std::ranges::all_of(text, [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
  });
}

void verify(const Graph& graph) {
  check_names(graph);
  check_values(graph);
  for (NodeId id = 0; id < graph.nodes().size(); ++id) check_node(graph, id);
  for (ValueId output : graph.outputs())
    if (output >= graph.value_count()) fail(graph, "", "an output does not exist");
}

}  // namespace calque
