// The reference interpreter: slow and obvious, the oracle of every engine. It shares no kernel with any of
// them.
#pragma once

#include <deque>
#include <span>
#include <vector>

#include "ir/graph/graph.h"
#include "ir/graph/literal.h"

namespace calque {

/// Runs a graph. `inputs` are its inputs in order; the results are its outputs in order.
/// Throws UserError when an input is missing or has another type, and when an index is out of range.
std::vector<Literal> interpret(const Graph& graph, std::span<const Literal> inputs);

/// An emitter that computes at once. A graph is run by replaying it into one; gradient rules and composite
/// bodies run in it as they are.
class InterpreterEmitter final : public Emitter {
 public:
  Value add(Literal literal);
  std::vector<Value> emit(Op op, std::span<const Value> inputs, Attributes attributes) override;
  /// Runs a fusion or a loop.
  std::vector<Value> emit_block(const Node& node, std::span<const Value> inputs);
  Type type(Value value) override { return literals_[value.id].type; }
  const Literal& literal(Value value) const { return literals_[value.id]; }

 private:
  std::deque<Literal> literals_;  // stays in place while it grows
};

}  // namespace calque
