// Gives elementwise ops and concats operands that the rows of a fusion can read.
#pragma once

#include "ir/graph/graph.h"

namespace calque::passes {

/// An operand that broadcasts neither whole rows nor along them ([4,1,C] to [4,8,C]) gets an explicit expand.
/// A constant with a shape that a concat of rows joins becomes the expand of a scalar.
Graph align_operands(const Graph& graph);

}  // namespace calque::passes
