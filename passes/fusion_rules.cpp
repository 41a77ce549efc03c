// The rules by which ops become part of a fusion; ir/graph/verifier.h states what a fusion may hold.
#include "passes/fusion_rules.h"

#include "ir/op/reduction.h"

namespace calque::passes {

namespace {

bool keeps_rows(const Shape& a, const Shape& b) {
  return rows_of(a) == rows_of(b) && row_length(a) == row_length(b);
}

bool is_last_axis(const Graph& graph, const Node& node, int64_t axis) {
  return axis == graph.type(node.inputs[0]).shape.rank() - 1;
}

/// Each operand has the rows of the result or one row.
bool operands_fit(const Graph& graph, const Node& node) {
  const int64_t rows = rows_of(graph.type(node.result()).shape);
  return std::ranges::all_of(node.inputs, [&](ValueId input) {
    const int64_t operand_rows = rows_of(graph.type(input).shape);
    return operand_rows == rows || operand_rows == 1;
  });
}

/// An op that needs whole rows: not worth one long row alone, which would run on one thread.
bool row_fits(const Graph& graph, const Node& node, int64_t axis) {
  if (!is_last_axis(graph, node, axis)) return false;
  const Shape &before = graph.type(node.inputs[0]).shape, &after = graph.type(node.result()).shape;
  return rows_of(before) > 1 || std::max(row_length(before), row_length(after)) <= kLongestRow;
}

bool is_row_reduction(const Graph& graph, const Node& node) {
  return node.attributes.size() == 2 && node.attributes.flag(0) &&
         is_last_axis(graph, node, node.attributes[1]) &&
         graph.type(node.inputs[0]).shape.back() <= reduction::kBlock;
}

bool is_empty(const Graph& graph, const Node& node) {
  for (ValueId input : node.inputs)
    if (graph.type(input).shape.element_count() == 0) return true;
  for (uint32_t i = 0; i < node.result_count; ++i)
    if (graph.type(node.result(i)).shape.element_count() == 0) return true;
  return false;
}

}  // namespace

FusionRole fusion_role(const Graph& graph, const Node& node) {
  using enum FusionRole;
  if (is_empty(graph, node)) return none;
  const Attributes& attributes = node.attributes;
  switch (node.op) {
    case Op::full:
      return graph.type(node.result()).shape.element_count() == 1 ? constant : none;
    case Op::arange:
      return constant;
    case Op::expand:
      return operands_fit(graph, node) ? view : none;
    case Op::reshape:
      return keeps_rows(graph.type(node.inputs[0]).shape, graph.type(node.result()).shape) ? view : none;
    case Op::slice:
      return row_fits(graph, node, attributes[0]) ? view : none;
    case Op::split:
      return row_fits(graph, node, attributes[1]) ? view : none;
    case Op::concat:
    case Op::pad:
      return row_fits(graph, node, attributes[0]) ? compute : none;
    default:
      break;
  }
  const OpKind kind = row(node.op).kind;
  if (kind == OpKind::elementwise) return operands_fit(graph, node) ? compute : none;
  if (kind == OpKind::reduction) return is_row_reduction(graph, node) ? compute : none;
  return none;
}

Footprint footprint(const Graph& graph, const Node& node) {
  Footprint result;
  const OpKind kind = row(node.op).kind;
  const bool by_element = kind == OpKind::elementwise || node.op == Op::expand || node.op == Op::reshape;
  if (!by_element) result.flat_elements = 0;
  const auto count = [&](ValueId value) {
    const Shape& shape = graph.type(value).shape;
    const int64_t elements = shape.element_count();
    result.rows = std::max(result.rows, rows_of(shape));
    result.longest_row = std::max(result.longest_row, row_length(shape));
    if (elements == 1) return;
    if (result.flat_elements == 1)
      result.flat_elements = elements;
    else if (result.flat_elements != elements)
      result.flat_elements = 0;
  };
  for (ValueId input : node.inputs) count(input);
  for (uint32_t i = 0; i < node.result_count; ++i) count(node.result(i));
  return result;
}

Footprint joined(const Footprint& a, const Footprint& b) {
  Footprint result{a.rows, std::max(a.longest_row, b.longest_row), 0};
  if (a.flat_elements == b.flat_elements || b.flat_elements == 1)
    result.flat_elements = a.flat_elements;
  else if (a.flat_elements == 1)
    result.flat_elements = b.flat_elements;
  // A scalar beside one long row may be a result of its own, which a flat domain does not give.
  const bool same_elements = a.flat_elements > 0 && a.flat_elements == b.flat_elements;
  const bool one_long_row = a.rows == 1 && !same_elements && result.longest_row > kLongestRow;
  if (a.rows != b.rows || one_long_row) result.rows = 0;
  return result;
}

bool reduces_columns(const Graph& graph, const Node& node) {
  if (row(node.op).kind != OpKind::reduction || is_empty(graph, node)) return false;
  const Shape& shape = graph.type(node.inputs[0]).shape;
  return shape.rank() == 2 && node.attributes.size() == 2 && node.attributes[1] == 0 &&
         shape[0] <= reduction::kOuterBlock && shape[1] > 1;
}

}  // namespace calque::passes
