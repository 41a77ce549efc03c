// Sums of matrix products become one product_sum, which adds each product as it is finished.
#pragma once

#include "ir/graph/graph.h"

namespace calque::passes {

/// add(a b, c d) -> product_sum a, b, c, d, and add(product_sum ..., c d) -> product_sum ..., c, d, where
/// nothing else reads the products. Bit-exact: product_sum is defined as that sum, and adding two numbers is
/// commutative.
Graph merge_products(const Graph& graph);

}  // namespace calque::passes
