// Values of one type, one for each step of a loop, as one value with a first axis of steps; and the way back.
#pragma once

#include <set>
#include <span>

#include "ir/graph/graph.h"
#include "passes/rewriter.h"

namespace calque::passes {

/// What a loop scans: `value` is [steps, ...]; if `descending`, the steps lie in it from the last to the first.
struct Sequence {
  ValueId value = 0;
  bool descending = false;
};

/// Joins values of one type. Steps cut out of one tensor become a view of it, others are copied into one. How a value in
/// `opaque` was made is not looked at.
Sequence join_steps(Graph& graph, std::vector<ValueId> steps, const void* location, const std::set<ValueId>& opaque = {});

/// Copies a node and adds results that `is_opaque` marks, by their old numbers, to `opaque`.
void copy_opaque(Rewriter& rewrite, const Node& node, const std::vector<bool>& is_opaque, std::set<ValueId>& opaque);

/// The sequence in the order asked for.
ValueId in_order(Graph& graph, const Sequence& sequence, bool descending, const void* location);

/// Step `index` of a sequence, as a view.
ValueId step_of(Graph& graph, ValueId sequence, int64_t index, const void* location);

/// Whether these are consecutive steps of one sequence, in order or in reverse.
bool are_steps_in_a_row(const Graph& graph, std::span<const ValueId> values, const std::set<ValueId>& opaque);

/// Where neighbouring parts of a concat are steps of one sequence, in order or in reverse, they become one part, a view or a
/// flip of that.
Graph collect_steps(const Graph& graph);

}  // namespace calque::passes
