// States the rules of the IR, one function for each group of them.
#include "ir/graph/verifier.h"

#include <fmt/format.h>

#include <set>

#include "ir/graph/printer.h"
#include "ir/op/error.h"
#include "ir/op/reduction.h"

namespace calque {

namespace {

[[noreturn]] void fail(const Graph& graph, std::string_view where, std::string_view rule) {
  throw InternalError(fmt::format("graph @{}{}{}: {}", graph.name(), where.empty() ? "" : ", ", where, rule));
}

std::string describe(const Graph& graph, const Node& node) {
  return fmt::format("%{} = {}", &node - graph.nodes().data(), row(node.op).name);
}

bool is_identifier(std::string_view text) {
  if (text.empty() || (text[0] >= '0' && text[0] <= '9')) return false;
  return std::ranges::all_of(text, [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
  });
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
    fail(graph, describe(graph, node), "the attributes are not those that the op specifies");
  for (int i = 0; i < scalars; ++i) {
    const auto word = static_cast<uint64_t>(node.attributes[i]);
    if ((specs[i].kind == AttributeKind::dtype && word >= std::size(kAllDTypes)) ||
        (specs[i].kind == AttributeKind::boolean && word > 1))
      fail(graph, describe(graph, node), fmt::format("attribute `{}` has no such value", specs[i].name));
  }
}

/// The types that the shape rule gives, or those that the block of a fusion returns.
std::vector<Type> expected_types(const Graph& graph, const Node& node) {
  std::vector<Type> results;
  if (node.body) {
    for (ValueId output : node.body->outputs()) results.push_back(node.body->type(output));
    return results;
  }
  std::vector<Type> inputs;
  for (ValueId input : node.inputs) inputs.push_back(graph.type(input));
  Attributes attributes = node.attributes;
  try {
    results = infer(node.op, inputs, attributes);
  } catch (const UserError& error) {
    fail(graph, describe(graph, node), fmt::format("the shape rule refuses the operands: {}", error.what()));
  }
  if (attributes != node.attributes)
    fail(graph, describe(graph, node), "the attributes are not as the shape rule leaves them");
  return results;
}

/// `next_value` is the number of values that exist before the node.
void check_node(const Graph& graph, const Node& node, ValueId next_value) {
  const std::string where = describe(graph, node);
  for (ValueId input : node.inputs)
    if (input >= next_value) fail(graph, where, "an operand is not defined before it is used");
  if (node.first_result != next_value || node.result_count > graph.value_count() - next_value)
    fail(graph, where, "results are not numbered consecutively");
  if ((node.op == Op::fusion) != (node.body != nullptr)) fail(graph, where, "a fusion, and nothing else, has a block");
  check_attributes(graph, node);
  if (node.body) {
    verify(*node.body);
    check_fusion(graph, node);
  }
  const std::vector<Type> expected = expected_types(graph, node);
  if (expected.size() != node.result_count) fail(graph, where, "the shape rule gives another number of results");
  for (uint32_t i = 0; i < node.result_count; ++i)
    if (graph.type(node.result(i)) != expected[i])
      fail(graph, where, fmt::format("result {} is {}, but the shape rule gives {}", i,
                                     to_string(graph.type(node.result(i))), to_string(expected[i])));
  for (uint32_t i = 0; i < node.result_count; ++i)
    if (graph.producer(node.result(i)) != &node - graph.nodes().data())
      fail(graph, where, "a result does not name this node as its producer");
}

/// Equal but for leading axes of size 1.
bool same_but_leading_ones(const Shape& a, const Shape& b) {
  const auto skip_ones = [](const Shape& shape) {
    const int64_t* first = shape.begin();
    while (first != shape.end() && *first == 1) ++first;
    return first;
  };
  return std::equal(skip_ones(a), a.end(), skip_ones(b), b.end());
}

/// Why a reduction does not fit a block; null if it does.
const char* reduction_fault(const Graph& body, const Node& node, Domain domain, int64_t rows) {
  const Shape& shape = body.type(node.inputs[0]).shape;
  const std::span<const int64_t> axes = node.attributes.list(1);
  if (domain == Domain::flat) return "a flat domain has no reductions";
  if (axes.size() != 1) return "a reduction in a block is over one axis";
  if (domain == Domain::rows) {
    if (axes[0] != shape.rank() - 1 || !node.attributes.flag(0))
      return "a reduction of rows is over the last axis with keepdim";
    return shape.back() > reduction::kBlock ? "a reduction of rows is over one block at most" : nullptr;
  }
  if (axes[0] != 0 || shape[0] != rows) return "a reduction of columns is over the rows, the first axis";
  if (shape[0] > reduction::kOuterBlock) return "a reduction of columns is over one outer block at most";
  return shape.element_count() == shape[0] ? "a reduction of one column is innermost, which is another tree" : nullptr;
}

/// Why a node does not fit a block; null if it does.
const char* block_fault(const Graph& body, const Node& node, Domain domain, int64_t rows) {
  const auto last_axis = [&](int64_t axis) { return axis == body.type(node.result()).shape.rank() - 1; };
  switch (node.op) {
    case Op::full:
    case Op::arange:
    case Op::expand: return nullptr;
    case Op::reshape:
      return same_but_leading_ones(body.type(node.inputs[0]).shape, body.type(node.result()).shape)
                 ? nullptr
                 : "a reshape in a block adds or drops leading axes of size 1 only";
    case Op::slice:
    case Op::concat:
    case Op::split:
      if (domain != Domain::rows) return "only a domain of rows has slice, split and concat";
      return last_axis(node.attributes[node.op == Op::split ? 1 : 0])
                 ? nullptr
                 : "slice, split and concat in a block are of the last axis";
    case Op::fusion: return "fusions do not nest";
    default: break;
  }
  if (row(node.op).kind == OpKind::reduction) return reduction_fault(body, node, domain, rows);
  return row(node.op).kind == OpKind::elementwise ? nullptr : "this op has no place in a block";
}

bool fits_domain(const Shape& shape, Domain domain, int64_t rows, int64_t columns) {
  const int64_t count = shape.element_count();
  if (count == 1) return true;
  if (domain == Domain::flat) return count == columns;
  if (domain == Domain::rows) {
    if (shape.rank() < 2) return true;  // one row
    const int64_t before = Shape(shape.dims().first(shape.rank() - 1)).element_count();
    return before == rows || before == 1;
  }
  // One row may come without its leading axis, or whole with a leading axis of 1.
  if (count == columns && (rows == 1 || shape.rank() == 0 || shape[0] != rows || count != rows)) return true;
  if (shape.rank() < 2 || shape[0] != rows) return false;
  const int64_t behind = Shape(shape.dims().subspan(1)).element_count();
  return behind == columns || behind == 1;
}

}  // namespace

void check_fusion(const Graph& graph, const Node& node) {
  const std::string where = describe(graph, node);
  const Graph& body = *node.body;
  const int64_t rows = node.attributes[1], columns = node.attributes[2];
  if (node.attributes[0] < 0 || node.attributes[0] > static_cast<int64_t>(Domain::columns) || rows < 0 || columns < 0)
    fail(graph, where, "a fusion has a domain 0, 1 or 2 of so many rows and columns");
  const Domain domain = static_cast<Domain>(node.attributes[0]);
  if (domain == Domain::flat && rows != 1) fail(graph, where, "a flat domain has one row");
  if (node.inputs.size() != body.inputs().size()) fail(graph, where, "operands and inputs of the block differ in number");
  for (size_t i = 0; i < node.inputs.size(); ++i)
    if (graph.type(node.inputs[i]) != body.type(body.inputs()[i]))
      fail(graph, where, fmt::format("operand {} is {}, but the block takes {}", i,
                                     to_string(graph.type(node.inputs[i])), to_string(body.type(body.inputs()[i]))));
  if (body.outputs().empty()) fail(graph, where, "the block returns nothing");
  for (const Node& inner : body.nodes())
    if (const char* fault = block_fault(body, inner, domain, rows))
      fail(graph, where, fmt::format("in its block {}: {}", describe(body, inner), fault));
  for (ValueId value = 0; value < body.value_count(); ++value)
    if (!fits_domain(body.type(value).shape, domain, rows, columns))
      fail(graph, where, fmt::format("in its block {} : {} does not fit the domain", value_name(body, value),
                                     to_string(body.type(value))));
}

void verify(const Graph& graph) {
  check_names(graph);
  ValueId next_value = static_cast<ValueId>(graph.inputs().size());
  for (size_t i = 0; i < graph.inputs().size(); ++i)
    if (graph.inputs()[i] != i) fail(graph, "", "inputs are not the first values");
  for (const Node& node : graph.nodes()) {
    check_node(graph, node, next_value);
    next_value += node.result_count;
  }
  for (ValueId output : graph.outputs())
    if (output >= next_value) fail(graph, "", "an output does not exist");
}

}  // namespace calque
