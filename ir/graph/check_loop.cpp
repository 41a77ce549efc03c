// The rules of loops: what operands, block and results have to do with each other.
#include <fmt/format.h>

#include "ir/graph/verifier.h"
#include "ir/op/error.h"

namespace calque {

namespace {

[[noreturn]] void fail(const Graph& graph, const Node& node, std::string_view rule) {
  throw InternalError(
      fmt::format("graph @{}, %{} = loop: {}", graph.name(), &node - graph.nodes().data(), rule));
}

void check_counts(const Graph& graph, const Node& node) {
  for (int i = 0; i < 3; ++i)
    if (node.attributes[i] < 0) fail(graph, node, "a size is negative");
  const LoopForm form = LoopForm::of(node.attributes);
  if (node.inputs.size() != node.body->inputs().size())
    fail(graph, node, "operands and inputs of the block differ in number");
  if (form.carried > node.inputs.size() || form.scanned > node.inputs.size() - form.carried)
    fail(graph, node, "there are fewer operands than carried values and sequences");
  if (form.carried > node.body->outputs().size())
    fail(graph, node, "the block returns fewer values than are carried");
}

/// The type of an operand that the block sees step by step.
Type sequence_of(Type step, int64_t length) {
  step.shape.insert(0, length);
  return step;
}

}  // namespace

void check_loop(const Graph& graph, const Node& node) {
  check_counts(graph, node);
  const LoopForm form = LoopForm::of(node.attributes);
  const Graph& body = *node.body;
  for (size_t i = 0; i < node.inputs.size(); ++i) {
    const Type inner = body.type(body.inputs()[i]);
    const bool is_scanned = i >= form.carried && i < form.carried + form.scanned;
    if (is_scanned && inner.shape.rank() == kMaxRank) fail(graph, node, "a sequence has too many axes");
    const Type outer = is_scanned ? sequence_of(inner, form.length) : inner;
    if (graph.type(node.inputs[i]) != outer)
      fail(graph, node, fmt::format("operand {} is {}, but the block asks for {}", i,
                                    to_string(graph.type(node.inputs[i])), to_string(outer)));
  }
  for (size_t i = 0; i < form.carried; ++i)
    if (body.type(body.outputs()[i]) != body.type(body.inputs()[i]))
      fail(graph, node, fmt::format("carried value {} becomes {}, but begins as {}", i,
                                    to_string(body.type(body.outputs()[i])), to_string(body.type(body.inputs()[i]))));
}

}  // namespace calque
