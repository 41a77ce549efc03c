// Gradients taken inside of a program become ops like others.
#pragma once

#include <vector>

#include "ir/graph/graph.h"

namespace calque::passes {

/// Writes out each `grad`: the ops that autodiff gives for what leads from its operands to one another, where the grad stood. Expects
/// a graph without composites. Runs behind `roll` and `hoist`, so that the gradient of a loop is a loop, and that of a product for all
/// steps stands outside of it.
Graph expand_gradients(const Graph& graph);

/// The values that some grad differentiates by. Before they are written out, each must stay a value of its own that its readers
/// read: what was made equal to it, or read past it, would count to another gradient.
std::vector<bool> differentiated_by(const Graph& graph);

}  // namespace calque::passes
