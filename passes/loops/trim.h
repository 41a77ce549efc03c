// Dead code elimination for loops: across their borders.
#pragma once

#include "ir/graph/graph.h"

namespace calque::passes {

/// Drops stacked results and carried values that nobody reads, with what only they needed, and operands that no step reads;
/// joins stacked results that are the same.
Graph trim_loops(const Graph& graph);

}  // namespace calque::passes
