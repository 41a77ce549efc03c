// Products of rows that were taken from a small table.
#pragma once

#include "ir/graph/graph.h"

namespace calque::passes {

/// `matmul(take(table, i), w)` becomes `take(matmul(table, w), i)` where more rows are taken than the table has, twice as
/// many at least: each row's product is computed once. The forward keeps its bits; gradients of table and w are summed by
/// row first. This is what an embedding in front of a recurrent layer or a linear one looks like.
Graph products_of_rows(const Graph& graph);

}  // namespace calque::passes
