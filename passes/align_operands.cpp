// Rewrites what stands in the way of fusing: odd broadcasts, constants with a shape.
#include "passes/align_operands.h"

#include "passes/dce.h"
#include "passes/fusion_rules.h"
#include "passes/rewriter.h"

namespace calque::passes {

namespace {

/// A constant of any shape as a view of a scalar. The type by value: those of the graph move while it grows.
ValueId constant(Rewriter& rewrite, double value, Type type, const void* location) {
  const ValueId scalar = rewrite.add(Op::full, {}, Attributes::of(value, type.dtype, Ints()), location);
  return rewrite.add(Op::expand, {{scalar}}, Attributes::of(Ints(type.shape)), location);
}

void align_elementwise(Rewriter& rewrite, const Node& node) {
  const Shape result = rewrite.source().type(node.result()).shape;
  std::vector<ValueId> inputs = rewrite(node.inputs);
  for (ValueId& input : inputs) {
    const Shape shape = rewrite.graph().type(input).shape;
    if (rows_of(shape) == 1 || rows_of(shape) == rows_of(result)) continue;
    Shape whole = result;
    whole.set(result.rank() - 1, shape.back());
    input = rewrite.add(Op::expand, {{input}}, Attributes::of(Ints(whole)), node.location);
  }
  rewrite.set(node.result(), rewrite.add(node.op, inputs, node.attributes, node.location));
}

void concat_of_scalars(Rewriter& rewrite, const Node& node) {
  std::vector<ValueId> inputs = rewrite(node.inputs);
  for (ValueId& input : inputs) {
    if (rewrite.graph().is_input(input)) continue;
    const Node& made = rewrite.graph().node(rewrite.graph().producer(input));
    if (made.op == Op::full)
      input = constant(rewrite, made.attributes.number(0), rewrite.graph().type(input), made.location);
  }
  rewrite.set(node.result(), rewrite.add(node.op, inputs, node.attributes, node.location));
}

}  // namespace

Graph align_operands(const Graph& graph) {
  Rewriter rewrite(graph);
  for (const Node& node : graph.nodes()) {
    const Shape& shape = graph.type(node.result()).shape;
    const bool joins_rows = node.op == Op::concat && node.attributes[0] == shape.rank() - 1;
    if (shape.element_count() == 0)
      rewrite.copy(node);
    else if (row(node.op).kind == OpKind::elementwise)
      align_elementwise(rewrite, node);
    else if (joins_rows)
      concat_of_scalars(rewrite, node);
    else
      rewrite.copy(node);
  }
  return dce(rewrite.finish());
}

}  // namespace calque::passes
