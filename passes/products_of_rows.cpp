// Looks through reshapes that keep rows whole.
#include "passes/products_of_rows.h"

#include <optional>

#include "passes/dce.h"
#include "passes/expand_gradients.h"
#include "passes/rewriter.h"

namespace calque::passes {

namespace {

/// The `take` whose rows, in order, are those of a matrix. No value on the way may be one that something is differentiated by.
const Node* rows_taken(const Graph& graph, ValueId matrix, const std::vector<bool>& is_by) {
  const int64_t width = graph.type(matrix).shape.back();
  for (ValueId value = matrix; !graph.is_input(value) && !is_by[value];) {
    const Node& node = graph.node(graph.producer(value));
    if (node.op == Op::take) return graph.type(node.inputs[0]).shape.rank() == 2 ? &node : nullptr;
    if (node.op != Op::reshape) return nullptr;
    const Shape& before = graph.type(node.inputs[0]).shape;
    if (before.rank() == 0 || before.back() != width) return nullptr;
    value = node.inputs[0];
  }
  return nullptr;
}

bool is_worth_it(const Graph& graph, const Node& product, const Node& take) {
  const int64_t rows_of_table = graph.type(take.inputs[0]).shape[0], rows = graph.type(product.inputs[0]).shape[0];
  return rows_of_table > 0 && 2 * rows_of_table <= rows;
}

}  // namespace

Graph products_of_rows(const Graph& graph) {
  const std::vector<bool> is_by = differentiated_by(graph);
  Rewriter rewrite(graph);
  for (const Node& node : graph.nodes()) {
    const bool is_product = node.op == Op::matmul && graph.type(node.inputs[0]).shape.rank() == 2 &&
                            graph.type(node.inputs[1]).shape.rank() == 2;
    const Node* take = is_product ? rows_taken(graph, node.inputs[0], is_by) : nullptr;
    if (!take || !is_worth_it(graph, node, *take)) {
      rewrite.copy(node);
      continue;
    }
    const ValueId table = rewrite(take->inputs[0]), indices = rewrite(take->inputs[1]);
    const ValueId products = rewrite.add(Op::matmul, {{table, rewrite(node.inputs[1])}}, {}, node.location);
    const ValueId rows = rewrite.add(Op::take, {{products, indices}}, take->attributes, take->location);
    const Attributes shape = Attributes::of(Ints(graph.type(node.result()).shape));
    rewrite.set(node.result(), rewrite.add(Op::reshape, {{rows}}, shape, node.location));
  }
  return dce(rewrite.finish());
}

}  // namespace calque::passes
