// What a backward graph reads of its forward: the cheapest values to save, as a minimum cut.
#pragma once

#include <vector>

#include "ir/graph/graph.h"

namespace calque::passes {

/// Forward and backward of a program in one graph: the first `program_inputs` inputs and `program_outputs`
/// outputs are the program's, the other inputs are gradients of outputs, the other outputs gradients of
/// inputs.
struct JointGraph {
  Graph graph;
  size_t program_inputs = 0;
  size_t program_outputs = 0;
};

struct Partition {
  std::vector<bool> in_backward;  // by node: computed in the backward
  std::vector<ValueId> inputs;    // inputs of the program that the backward reads, in order
  std::vector<ValueId> saved;     // values of the forward that it reads, in order
  std::vector<bool> saved_is_apart;  // of each of them: it is no memory of an input or output of the program
};

Partition partition(const JointGraph& joint);

/// The value that a value is a view of, through any number of views; itself when it is none.
ValueId memory_of(const Graph& graph, ValueId value);

/// Whether computing the op again costs less than reading its result from memory: views, constants, short
/// formulas.
bool is_cheap(const Graph& graph, const Node& node);

}  // namespace calque::passes
