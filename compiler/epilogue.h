// Which kernels may run right behind the matrix products that they read, part by part of the columns: the
// epilogue of a product, of which recurrent cells are made.
#pragma once

#include "compiler/plan.h"

namespace calque {

/// Whether a kernel of `part_columns` that computes its columns [a, b) reads of the product's result only the
/// columns k * part_columns + [a, b) for whole k, in the same rows: the gates of a cell, say. Then whoever
/// computed those columns of the product may go on with that part of the kernel, waiting for nobody.
bool reads_by_parts(const PlanStep& kernel, const Graph& body, const Place& product, int64_t part_columns);

/// Of a kernel of one row that is computed in parts, which inputs it reads so: of each, columns k * part_columns + [a, b) only.
std::vector<bool> inputs_read_by_parts(const PlanStep& kernel);

}  // namespace calque
