// Random programs: a graph made from the op table, and what the host does while it runs.
#pragma once

#include <cstdint>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "ir/graph/graph.h"

namespace calque::test {

/// What the host does around one node.
struct HostStep {
  bool is_read = false;     // copies the first result to host memory, in mid-call
  bool is_no_grad = false;  // runs the op inside a NoGradGuard
  bool is_kept = false;     // holds the results until the function returns
  bool varies = false;      // a `full` whose value is another one in each call
};

enum class Exit { never, by_counter, by_data };

struct RandomProgram {
  Graph graph{"random"};
  std::vector<HostStep> steps;           // one for each node
  Exit exit = Exit::never;               // how the function may return early ...
  NodeId exit_node = 0;                  // ... before this node, giving the outputs that are there
  std::vector<bool> requires_grad;       // one for each input
  std::vector<bool> is_transposed;       // inputs that lie in memory with their axes reversed
};

/// Up to `nodes` ops of the table on small tensors. Integer inputs are valid as indices: no op throws.
RandomProgram random_program(std::mt19937& random, int nodes);

/// The graph as IR text behind comment lines `//! <what> <numbers>` for the rest.
std::string print_program(const RandomProgram& program);
/// Reads what print_program gives. Throws UserError.
RandomProgram parse_program(std::string_view text);

/// The program without node `id`: its results become inputs.
RandomProgram without_node(const RandomProgram& program, NodeId id);
/// The program without output `i`.
RandomProgram without_output(const RandomProgram& program, size_t i);
/// The program without inputs that nothing reads.
RandomProgram without_unused_inputs(const RandomProgram& program);

/// Index inputs hold 0 to kLargestIndex, so an indexed axis needs more elements than that.
inline constexpr int64_t kLargestIndex = 2;

}  // namespace calque::test
