// The inner loops of the reductions that each instruction-set level provides: one block of the tree of
// ir/op/reduction.h.
#pragma once

#include <cstdint>

#include "ir/op/dtype.h"
#include "runtime/kernels/elementwise.h"
#include "runtime/kernels/isa.h"

namespace calque::kernels {

/// For each of `rows` rows, `row_step` elements apart: out[row] = its first n <= kBlock elements (n may be
/// 0), by lanes.
using ReduceRows = void (*)(const void* x, int64_t row_step, int64_t rows, int64_t n, void* out);
/// For each of `columns` columns: out[column] = the elements of `rows` <= kOuterBlock rows in order.
using ReduceColumns = void (*)(const void* x, int64_t row_step, int64_t rows, int64_t columns, void* out);

struct ReductionLoops {
  ReduceRows rows;
  ReduceColumns columns;
};

/// The REDUCTION rows of structural.def, in order.
enum class ReductionRow : int {
#define REDUCTION(name, ...) name,
#include "ir/op/all_reductions.inc"
  count_,
};

/// By row and dtype; null for bool.
struct ReductionKernels {
  ReductionLoops rows[static_cast<int>(ReductionRow::count_)][kDTypes];
};

namespace baseline {
extern const ReductionKernels kReductionKernels;
}
namespace avx2 {
extern const ReductionKernels kReductionKernels;
}
namespace avx512 {
extern const ReductionKernels kReductionKernels;
}

const ReductionKernels& reduction_kernels(IsaLevel level);
/// Those of this process's level.
const ReductionKernels& reduction_kernels();

}  // namespace calque::kernels
