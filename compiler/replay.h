// Running recorded programs op by op through dispatch.
#pragma once

#include <span>
#include <vector>

#include "compiler/trace.h"
#include "ir/graph/graph.h"
#include "runtime/function_ref.h"

namespace calque {

/// Runs the ops of a path eagerly, each in the grad mode in which it was asked for. Calls `made` after each op with its
/// results, which may be replaced by other tensors of the same elements and history, and the number of the first one.
void replay_path(const TraceTree& tree, std::span<const TraceId> path, std::span<const Tensor> slots,
                 FunctionRef<void(std::span<Tensor> results, size_t first)> made);

/// Runs a graph of eager ops (no fusions) and gives its outputs.
std::vector<Tensor> replay_graph(const Graph& graph, std::span<const Tensor> inputs);

/// Makes a placeholder what `made` is: elements, layout and history.
void fill_placeholder(TensorImpl& placeholder, const TensorImpl& made);

}  // namespace calque
