// Constant folding: runs elementwise ops whose operands are all `full` on one element.
#include "passes/fold.h"

#include <algorithm>
#include <cmath>
#include <optional>

#include "ir/graph/interpreter.h"
#include "passes/dce.h"
#include "passes/expand_gradients.h"
#include "passes/rewriter.h"

namespace calque::passes {

namespace {

/// The only element of a literal, as `full` states it; none where no double is that number (a large i64).
std::optional<double> number_of(const Literal& literal) {
  constexpr int64_t kExact = int64_t{1} << 53;
  switch (literal.type.dtype) {
    case DType::f32:
      return literal.as<float>()[0];
    case DType::f64:
      return literal.as<double>()[0];
    case DType::i32:
      return literal.as<int32_t>()[0];
    case DType::i64: {
      const int64_t value = literal.as<int64_t>()[0];
      return value >= -kExact && value <= kExact ? std::optional<double>(static_cast<double>(value))
                                                 : std::nullopt;
    }
    case DType::boolean:
      return literal.as<bool>()[0] ? 1.0 : 0.0;
  }
  return {};
}

std::optional<double> folded(const Graph& graph, const Node& node) {
  InterpreterEmitter interpreter;
  std::vector<Value> operands;
  for (ValueId input : node.inputs) {
    if (graph.is_input(input) || graph.node(graph.producer(input)).op != Op::full) return {};
    const Attributes& full = graph.node(graph.producer(input)).attributes;
    operands.push_back(
        interpreter.emit(Op::full, {}, Attributes::of(full.number(0), full.dtype(1), Ints()))[0]);
  }
  return number_of(interpreter.literal(interpreter.emit(node.op, operands, node.attributes)[0]));
}

}  // namespace

Graph fold(const Graph& graph) {
  const std::vector<bool> is_by = differentiated_by(graph);
  Rewriter rewrite(graph);
  for (const Node& node : graph.nodes()) {
    std::optional<double> value;
    const bool is_asked = std::ranges::any_of(node.inputs, [&](ValueId input) { return is_by[input]; });
    if (row(node.op).kind == OpKind::elementwise && !is_asked) {
      Node carried = node;
      carried.inputs = rewrite(node.inputs);
      value = folded(rewrite.graph(), carried);
    }
    if (!value) {
      rewrite.copy(node);
      continue;
    }
    const Type type = graph.type(node.result());
    rewrite.set(node.result(), rewrite.add(Op::full, {}, Attributes::of(*value, type.dtype, Ints(type.shape)),
                                           node.location));
  }
  return dce(rewrite.finish());
}

}  // namespace calque::passes
