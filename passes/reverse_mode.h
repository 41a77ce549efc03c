// Reverse mode: walks a program backwards as the eager tape does and writes the gradients behind it.
#pragma once

#include <optional>
#include <vector>

#include "ir/graph/graph.h"
#include "passes/loops/saving_loops.h"

namespace calque::passes {

class ReverseMode {
 public:
  /// Of the graph as it is now, without composites and fusions; `requires_grad` marks the values that gradients flow into.
  /// What is written belongs to `location`, or to the lines of the ops that it is the gradient of.
  ReverseMode(Graph& graph, std::vector<bool> requires_grad, SavingLoops& saving, const void* location = nullptr);

  /// Gradients to start from count before what any node contributes.
  void seed(ValueId value, ValueId gradient);
  /// Nodes from the last to the first, each adding to the gradients of its operands in their order.
  void run();
  /// None where no gradient flows to.
  std::optional<ValueId> gradient(ValueId value) const;

 private:
  void differentiate(NodeId id);
  void differentiate_loop(NodeId id);
  void add(ValueId value, const Value& gradient);
  const void* location_of(const Node& node) const { return location_ ? location_ : node.location; }

  Graph& graph_;
  size_t nodes_;
  std::vector<bool> requires_grad_;
  SavingLoops& saving_;
  const void* location_;
  GraphEmitter emitter_;
  std::vector<Value> gradients_;
};

}  // namespace calque::passes
