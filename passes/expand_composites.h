// Replaces each composite op by its body, in terms of other ops.
#pragma once

#include "ir/graph/graph.h"

namespace calque::passes {

Graph expand_composites(const Graph& graph);

}  // namespace calque::passes
