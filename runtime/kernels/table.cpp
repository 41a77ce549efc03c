// The table of eager kernels, made from the op table.
#include <algorithm>
#include <array>
#include <atomic>

#include "ir/op/scalar/program.h"
#include "runtime/kernels/eager.h"
#include "runtime/kernels/elementwise.h"

namespace calque::kernels {

// A row of structural.def that is no view and no composite without its kernel is a link error.
#define CALQUE_KERNEL(name)                                                     \
  void eager_##name(std::span<const View> inputs, const Attributes& attributes, \
                    std::span<const View> results);
#include "runtime/kernels/all_kernels.inc"

namespace {

/// Work of one element in units of an add, about: from the length of the formula.
int cost_of(Op op, DType dtype) {
  constexpr int kStepsPerAdd =
      16;  // a formula of so many steps takes as long as an add takes to fetch its operands
  const size_t steps = scalar_program(op, dtype, dtype).nodes.size();
  return static_cast<int>(std::clamp<size_t>(steps / kStepsPerAdd, 1, 8));
}

template <Op op>
void eager_elementwise(std::span<const View> inputs, const Attributes&, std::span<const View> results) {
  static std::atomic<int> costs[kDTypes];
  const int dtype = static_cast<int>(inputs.back().dtype);
  int cost = costs[dtype].load(std::memory_order_relaxed);
  if (cost == 0) {
    cost = cost_of(op, inputs.back().dtype);
    costs[dtype].store(cost, std::memory_order_relaxed);
  }
  run_elementwise(elementwise_kernels().rows[static_cast<int>(op)][dtype], inputs, results[0], cost);
}

constexpr std::array<EagerKernel, kOpCount> make_table() {
  std::array<EagerKernel, kOpCount> table{};
#define UNARY(name, ...)                                                               \
  static_assert(static_cast<int>(Op::name) == static_cast<int>(ElementwiseRow::name)); \
  table[static_cast<int>(Op::name)] = eager_elementwise<Op::name>;
#define BINARY(name, ...) UNARY(name)
#define SELECT(name, ...) UNARY(name)
#include "ir/op/elementwise.def"
#define CALQUE_KERNEL(name) table[static_cast<int>(Op::name)] = eager_##name;
#include "runtime/kernels/all_kernels.inc"
  return table;
}

}  // namespace

EagerKernel eager_kernel(Op op) {
  static constexpr std::array<EagerKernel, kOpCount> table = make_table();
  return table[static_cast<int>(op)];
}

}  // namespace calque::kernels
