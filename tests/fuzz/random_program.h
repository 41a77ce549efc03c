// Random programs: a graph made from the op table, and what the host does while it runs.
#pragma once

#include <cstdint>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "ir/graph/graph.h"

namespace calque::test {

/// Which calls go the other way at a branch: none, some by their number, or those whose data say so.
enum class Branch { none, by_counter, by_data };

/// `target.assign_(source)`, inside a NoGradGuard or recorded; both are there when the node of its step has run.
struct Write {
  ValueId target = 0, source = 0;
  bool is_recorded = false;
};

/// What the host does around one node.
struct HostStep {
  bool is_read = false;          // copies the first result to host memory, in mid-call
  bool is_no_grad = false;       // runs the op inside a NoGradGuard
  bool is_kept = false;          // holds the results until the function returns
  bool varies = false;           // a `full` whose value is another one in each call
  Branch turn = Branch::none;    // in calls that turn here the results are negated, by another op
  std::optional<Write> write;
  std::optional<ValueId> gradient_by;  // takes the gradient of the first result by this value, where both have one
};

struct RandomProgram {
  Graph graph{"random"};
  std::vector<HostStep> steps;           // one for each node
  Branch exit = Branch::none;            // how the function may return early ...
  NodeId exit_node = 0;                  // ... before this node, giving the outputs that are there
  std::vector<bool> requires_grad;       // one for each input
  std::vector<bool> is_transposed;       // inputs that lie in memory with their axes reversed
  std::vector<int> same_as;              // in every other call input i is the very tensor of an earlier one; -1: never
  int64_t resized_from = 0, resized_to = 0;  // later calls have other sizes: axes of the one instead of the other
};

/// Up to `nodes` ops of the table on small tensors. Integer inputs are valid as indices: hardly any op throws.
RandomProgram random_program(std::mt19937& random, int nodes);

/// The program with its other sizes, which are the same ops on other shapes. Nothing when they do not fit the ops.
std::optional<RandomProgram> resized(const RandomProgram& program);

/// The graph as IR text behind comment lines `//! <what> <numbers>` for the rest.
std::string print_program(const RandomProgram& program);
/// Reads what print_program gives. Throws UserError.
RandomProgram parse_program(std::string_view text);

/// Index inputs hold 0 to kLargestIndex, so an indexed axis needs more elements than that.
inline constexpr int64_t kLargestIndex = 2;

}  // namespace calque::test
