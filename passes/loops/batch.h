// One op for all steps: what an op on one step is on a whole sequence.
#pragma once

#include <optional>
#include <vector>

#include "ir/graph/graph.h"

namespace calque::passes {

/// An operand of an op on one step: the same in all steps, or [steps, ...], of which the op sees one step.
struct BatchOperand {
  ValueId value = 0;
  bool is_sequence = false;
};

/// Whether `batch` can write this op: its operands keep their places along the axis of steps, and bits do not change.
bool can_batch(const Graph& body, const Node& node, const std::vector<bool>& is_sequence);

/// Appends to `graph` what `node` of `body` computes on all steps at once; gives [steps, ...] for each result.
std::vector<ValueId> batch(Graph& graph, const Graph& body, const Node& node, const std::vector<BatchOperand>& operands,
                           int64_t steps);

}  // namespace calque::passes
