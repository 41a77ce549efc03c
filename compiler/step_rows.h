// Tensors of one type as the steps of one tensor, and the way back.
#pragma once

#include <span>

#include "runtime/tensor_impl.h"

namespace calque {

/// A new tensor [steps, ...] with the elements of these; zeros for those that are null.
Tensor joined(const Type& type, std::span<const Tensor* const> steps);

/// One step: a tensor that shares its elements, without history.
Tensor step_view(const Tensor& sequence, int64_t index);
/// The same with elements of its own.
Tensor step_copy(const Tensor& sequence, int64_t index);

}  // namespace calque
