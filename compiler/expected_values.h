// CALQUE_VERIFY: whether what a plan made is what the ops give one by one.
#pragma once

#include <cstdint>
#include <vector>

#include "ir/graph/graph.h"
#include "runtime/tensor_impl.h"

namespace calque {

/// The values of a program that gradients taken inside of it go into.
std::vector<bool> values_behind_gradients(const Graph& program);

/// Throws InternalError where value `number` of a segment is another one: in a bit, or beyond rounding.
void check_value(const TensorImpl& made, const TensorImpl& expected, uint32_t number, bool is_exact);

}  // namespace calque
