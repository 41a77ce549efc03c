// One walk: behind each grad's operands their gradient is written, which later grads may differentiate in turn.
#include "passes/expand_gradients.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "passes/autodiff.h"
#include "passes/reverse_mode.h"
#include "passes/rewriter.h"

namespace calque::passes {

namespace {

bool is_grad(const Node& node) { return node.op == Op::grad; }

size_t output_count(const Node& grad) { return static_cast<size_t>(grad.attributes[0]); }

void expand(Rewriter& rewrite, const Node& node, SavingLoops& saving) {
  Graph& graph = rewrite.graph();
  const size_t outputs = output_count(node);
  const std::vector<ValueId> operands = rewrite(node.inputs);
  const std::span<const ValueId> by = std::span(operands).subspan(2 * outputs);
  std::vector<bool> requires_grad(graph.value_count());
  for (ValueId value : by) requires_grad[value] = true;
  spread_requires_grad(graph, requires_grad);
  ReverseMode reverse(graph, std::move(requires_grad), saving, node.location);
  for (size_t i = 0; i < outputs; ++i) reverse.seed(operands[i], operands[outputs + i]);
  reverse.run();
  for (uint32_t i = 0; i < node.result_count; ++i) {
    const Type type = graph.type(by[i]);
    std::optional<ValueId> gradient = reverse.gradient(by[i]);
    if (!gradient) gradient = rewrite.add(Op::full, {}, Attributes::of(0.0, type.dtype, Ints(type.shape)), node.location);
    rewrite.set(node.result(i), *gradient);
  }
}

}  // namespace

Graph expand_gradients(const Graph& graph) {
  if (std::ranges::none_of(graph.nodes(), is_grad)) return graph;
  Rewriter rewrite(graph);
  SavingLoops saving;
  for (const Node& node : graph.nodes()) {
    if (is_grad(node)) expand(rewrite, node, saving);
    else rewrite.copy(node);
  }
  return saving.install(rewrite.finish());
}

std::vector<bool> differentiated_by(const Graph& graph) {
  std::vector<bool> marked(graph.value_count());
  for (const Node& node : graph.nodes())
    for (size_t i = is_grad(node) ? 2 * output_count(node) : node.inputs.size(); i < node.inputs.size(); ++i)
      marked[node.inputs[i]] = true;
  return marked;
}

}  // namespace calque::passes
