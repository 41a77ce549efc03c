// The gradient of a loop is a loop that runs the other way.
#pragma once

#include <optional>
#include <span>
#include <vector>

#include "ir/graph/graph.h"

namespace calque::passes {

struct LoopGradient {
  /// A copy of the loop whose first results are those of the loop; the others, stacked, are what the gradient reads.
  NodeId saving_loop = kNoNode;
  /// Of each operand; none where no gradient flows.
  std::vector<std::optional<ValueId>> operands;
};

/// Appends to `graph` the gradient of its node `loop`, for operands marked `needed`,
/// from the gradients of its results. The block is differentiated once, by the rules for any program, so each step saves
/// only what its gradient reads. Gradients of weights that are products of two values of a step are computed behind the
/// loop, one product over all steps (which changes the order of that sum); others are added up in the order of the steps. What is
/// written belongs to `location`, or to the lines of the loop's ops where that is null.
LoopGradient append_loop_gradient(Graph& graph, NodeId loop, std::span<const bool> needed,
                                  std::span<const std::optional<ValueId>> result_gradients, const void* location = nullptr);

}  // namespace calque::passes
