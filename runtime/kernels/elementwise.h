// The elementwise inner loops that each instruction-set level provides, and the driver that runs one over
// tensors.
#pragma once

#include <cstdint>
#include <span>

#include "ir/op/dtype.h"
#include "runtime/kernels/isa.h"

namespace calque::kernels {

/// The rows of elementwise.def, numbered as in Op (they come first in both).
enum class ElementwiseRow : int {
#define UNARY(name, ...) name,
#define BINARY(name, ...) name,
#define SELECT(name, ...) name,
#include "ir/op/elementwise.def"
  count_,
};
inline constexpr int kElementwiseRows = static_cast<int>(ElementwiseRow::count_);
inline constexpr int kDTypes = 5;

/// Computes n >= 1 elements of `out`, which are contiguous. Operand i is contiguous where in_step[i] is 1;
/// where it is 0 its one element serves all. `out` may be the same memory as an operand of the same element
/// size and step 1. Every element gets the same bits wherever it lies.
using InnerLoop = void (*)(int64_t n, void* out, const void* const* in, const int64_t* in_step);

struct ElementwiseKernels {
  /// By the dtype of the last operand; null where the row does not take it.
  InnerLoop rows[kElementwiseRows][kDTypes];
  /// By the dtypes from and to; where they are equal, the bits as they are.
  InnerLoop cast[kDTypes][kDTypes];
};

namespace baseline {
extern const ElementwiseKernels kElementwiseKernels;
}
namespace avx2 {
extern const ElementwiseKernels kElementwiseKernels;
}
namespace avx512 {
extern const ElementwiseKernels kElementwiseKernels;
}

const ElementwiseKernels& elementwise_kernels(IsaLevel level);
/// Those of this process's level.
const ElementwiseKernels& elementwise_kernels();

struct View;

/// Runs an inner loop over operands of any strides, broadcast to the shape of `result`, which is contiguous.
/// `cost` is the work of one element in units of an add, about: it decides from what size on several threads
/// share the work.
void run_elementwise(InnerLoop loop, std::span<const View> inputs, const View& result, int cost);

}  // namespace calque::kernels
