// Autodiff: a program becomes a forward graph that also gives what its backward reads, and that backward
// graph.
#pragma once

#include <span>
#include <vector>

#include "ir/graph/graph.h"

namespace calque {

struct Differentiation {
  /// Outputs: those of the program in order, then the saved values. A saved value that is also an output of
  /// the program is listed again.
  Graph forward;
  /// Of each saved value, whether it is no memory of an input or output of the program, so that writes to these must not
  /// reach it, even where later passes find that it is equal to one.
  std::vector<bool> saved_is_apart;
  /// Inputs: one for each entry of `sources`. Outputs: the gradients of the inputs `wanted`.
  Graph backward;
  /// What an input of the backward is: input i of the forward, saved value i (the forward's output
  /// `program outputs + i`), or the gradient of output i of the program.
  enum class SourceKind { input, saved, output_gradient };
  struct Source {
    SourceKind kind;
    int index;
    bool operator==(const Source&) const = default;
  };
  std::vector<Source> sources;
  /// The forward input that each output of the backward is the gradient of. An input that gets none is left
  /// out.
  std::vector<int> wanted;
};

/// Which values a gradient flows into: floating ones that depend on an input that requires it.
std::vector<bool> values_with_gradient(const Graph& program, std::span<const bool> input_requires_grad);

/// The same from whatever values are marked; marks those that depend on them.
void spread_requires_grad(const Graph& program, std::vector<bool>& requires_grad);

/// Reverse mode, by the gradient rules of the op table and in the order of the eager tape, so that gradients
/// agree with it in every bit (but for sums over the steps of a loop, see passes/loops/loop_gradient.h): nodes from the last to the first, each adding to its inputs in their order,
/// the gradient of an output counting before that of any node. The program has no fusions; composites are
/// expanded first.
///
/// The backward reads an input or an output of the program only where a gradient rule does (what a tape would
/// save and watch for writes), and only if that rule runs whatever gradients of outputs are absent. Of other values it reads the set of fewest bytes from which the rest is
/// recomputed by views and cheap elementwise ops; see passes/partition.h.
Differentiation differentiate(const Graph& program, std::span<const bool> input_requires_grad,
                              std::span<const bool> output_has_gradient);

}  // namespace calque
