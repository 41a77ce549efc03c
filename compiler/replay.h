// Running recorded programs op by op through dispatch.
#pragma once

#include <span>
#include <vector>

#include "compiler/trace.h"
#include "ir/graph/graph.h"

namespace calque {

/// Runs the ops of a path eagerly, each in the grad mode in which it was asked for. Puts all values of the path into
/// `values`, the first being number `first_value`; when an op throws, those before it are there.
void replay_path(const TraceTree& tree, std::span<const TraceId> path, std::span<const Tensor> slots,
                 uint32_t first_value, std::vector<Tensor>& values);

/// Runs a graph of eager ops (no fusions) and gives its outputs.
std::vector<Tensor> replay_graph(const Graph& graph, std::span<const Tensor> inputs);

/// Makes a placeholder what `made` is: elements, layout and history.
void fill_placeholder(TensorImpl& placeholder, const TensorImpl& made);

}  // namespace calque
