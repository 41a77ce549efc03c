// Merges additions of matrix products that have no other use.
#include "passes/merge_products.h"

#include <utility>

#include "passes/dce.h"
#include "passes/rewriter.h"

namespace calque::passes {

constexpr size_t kMostTerms = 64;  // of one product_sum; an executor counts on it

Graph merge_products(const Graph& graph) {
  Rewriter rewrite(graph);
  const std::vector<uint32_t> uses = graph.use_counts();
  /// The product that makes a value (as rebuilt so far), if this is its only use.
  const auto product = [&](ValueId value) -> const Node* {
    if (graph.is_input(value) || uses[value] != 1 || rewrite.graph().is_input(rewrite(value))) return nullptr;
    const Node& made = rewrite.graph().node(rewrite.graph().producer(rewrite(value)));
    return row(made.op).kind == OpKind::matmul ? &made : nullptr;
  };
  for (const Node& node : graph.nodes()) {
    const bool is_plain_sum = node.op == Op::add && graph.type(node.inputs[0]) == graph.type(node.inputs[1]) &&
                              graph.type(node.result()).shape.rank() == 2;  // none repeats, no batches
    const Node* sum = is_plain_sum ? product(node.inputs[0]) : nullptr;
    const Node* last = sum ? product(node.inputs[1]) : nullptr;
    if (last && last->op != Op::matmul) std::swap(sum, last);
    if (!last || last->op != Op::matmul || sum->inputs.size() >= 2 * kMostTerms) {
      rewrite.copy(node);
      continue;
    }
    std::vector<ValueId> factors = sum->inputs;
    factors.insert(factors.end(), last->inputs.begin(), last->inputs.end());
    rewrite.set(node.result(), rewrite.add(Op::product_sum, factors, {}, node.location));
  }
  return dce(rewrite.finish());
}

}  // namespace calque::passes
