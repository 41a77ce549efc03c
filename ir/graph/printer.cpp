// Prints graphs: one line for each node, blocks indented.
#include "ir/graph/printer.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <bit>
#include <cmath>
#include <limits>

namespace calque {

namespace {

std::string result_name(const Graph& graph, NodeId id, ValueId value) {
  const Node& node = graph.node(id);
  if (node.result_count == 1) return fmt::format("%{}", id);
  return fmt::format("%{}.{}", id, value - node.first_result);
}

std::string print_attribute(AttributeKind kind, const Attributes& attributes, int word) {
  switch (kind) {
    case AttributeKind::integer:
      return fmt::format("{}", attributes[word]);
    case AttributeKind::boolean:
      return attributes.flag(word) ? "true" : "false";
    case AttributeKind::number:
      return print_number(attributes.number(word));
    case AttributeKind::dtype:
      return std::string(name(attributes.dtype(word)));
    case AttributeKind::integers:
      return fmt::format("[{}]", fmt::join(attributes.list(word), ", "));
  }
  return "?";
}

/// `f32[2,3]` for one type, `(f32[2,3], f32[])` for any other number of them.
std::string print_types(const std::vector<std::string>& types) {
  return types.size() == 1 ? types[0] : fmt::format("({})", fmt::join(types, ", "));
}

class Printer {
 public:
  explicit Printer(const GraphPrintOptions& options) : options_(options) {}

  void graph(const Graph& graph) {
    text_ += fmt::format("graph @{}", options_.name.empty() ? graph.name() : options_.name);
    inputs(graph);
    std::vector<std::string> types;
    for (ValueId output : graph.outputs()) types.push_back(to_string(graph.type(output)));
    text_ += fmt::format(" -> {} {{\n", print_types(types));
    block(graph, 1);
    text_ += "}\n";
  }

 private:
  void inputs(const Graph& graph) {
    std::vector<std::string> items;
    for (size_t i = 0; i < graph.inputs().size(); ++i)
      items.push_back(fmt::format("%{}: {}", graph.input_name(i), to_string(graph.type(graph.inputs()[i]))));
    text_ += fmt::format("({})", fmt::join(items, ", "));
  }

  void block(const Graph& graph, int depth) {
    std::vector<std::string> names(graph.value_count());
    for (size_t i = 0; i < graph.inputs().size(); ++i) names[graph.inputs()[i]] = "%" + graph.input_name(i);
    const std::string indent(2 * depth, ' ');
    for (NodeId id = 0; id < graph.nodes().size(); ++id) {
      text_ += indent;
      node(graph, id, names, depth);
    }
    text_ += indent + "return" + values(graph.outputs(), names) + "\n";
  }

  void node(const Graph& graph, NodeId id, std::vector<std::string>& names, int depth) {
    const Node& node = graph.node(id);
    const std::string attributes = print_attributes(node.op, node.attributes);
    text_ += fmt::format("%{} = {}{}", id, row(node.op).name, values(node.inputs, names));
    if (!attributes.empty()) text_ += " " + attributes;
    std::vector<std::string> types;
    for (uint32_t i = 0; i < node.result_count; ++i) {
      names[node.result(i)] = result_name(graph, id, node.result(i));
      types.push_back(to_string(graph.type(node.result(i))));
    }
    text_ += " : " + print_types(types);
    if (!node.body) return end_of_line(node);
    text_ += " ";
    inputs(*node.body);
    text_ += " {";
    end_of_line(node);
    block(*node.body, depth + 1);
    text_ += std::string(2 * depth, ' ') + "}\n";
  }

  void end_of_line(const Node& node) {
    const std::string location = node.location && options_.location ? options_.location(node.location) : "";
    if (!location.empty()) text_ += "  // " + location;
    text_ += "\n";
  }

  static std::string values(std::span<const ValueId> ids, const std::vector<std::string>& names) {
    std::string text;
    for (ValueId id : ids) text += (text.empty() ? " " : ", ") + names[id];
    return text;
  }

  const GraphPrintOptions& options_;
  std::string text_;

 public:
  std::string take() { return std::move(text_); }
};

}  // namespace

std::string print(const Graph& graph, const GraphPrintOptions& options) {
  Printer printer(options);
  printer.graph(graph);
  return printer.take();
}

std::string value_name(const Graph& graph, ValueId value) {
  for (size_t i = 0; i < graph.inputs().size(); ++i)
    if (graph.inputs()[i] == value) return "%" + graph.input_name(i);
  return value < graph.value_count() ? result_name(graph, graph.producer(value), value) : "%?";
}

std::string print_attributes(Op op, const Attributes& attributes) {
  std::vector<std::string> items;
  int word = 0;
  for (const AttributeSpec& spec : row(op).attributes)
    items.push_back(fmt::format("{} = {}", spec.name, print_attribute(spec.kind, attributes, word++)));
  return items.empty() ? "" : fmt::format("{{{}}}", fmt::join(items, ", "));
}

std::string print_number(double value) {
  constexpr double nan = std::numeric_limits<double>::quiet_NaN();
  const uint64_t bits = std::bit_cast<uint64_t>(value);
  if (std::isnan(value) && bits != std::bit_cast<uint64_t>(nan)) return fmt::format("nan({:#x})", bits);
  return fmt::format("{}", value);
}

}  // namespace calque
