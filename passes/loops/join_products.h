// Small products of one matrix in a loop's step become one.
#pragma once

#include "ir/graph/graph.h"

namespace calque::passes {

/// In a block, products of one left operand with several matrices that are the same in all steps (one for each gate, say) become a
/// product with these side by side, and slices of it; sums of two products as well. Only of small matrices: they are put side by side
/// at each call, and large products lose little by being apart. Bit-exact: an element is the same sum as before.
Graph join_products(const Graph& graph);

}  // namespace calque::passes
