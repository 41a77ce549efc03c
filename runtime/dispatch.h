// The way of every op: observer, types, kernel, tape.
#pragma once

#include <cstdint>
#include <span>

#include "runtime/observer.h"
#include "runtime/tensor_impl.h"

namespace calque {

/// What dispatch does for an op that no observer expected.
void dispatch_unexpected(Op op, std::span<TensorImpl* const> inputs, const Attributes& attributes, std::span<Tensor> results,
                         const void* location);

/// Runs one op on tensors. `results` has room for as many as the op gives (`result_count`). Throws UserError.
inline void dispatch(Op op, std::span<TensorImpl* const> inputs, const Attributes& attributes, std::span<Tensor> results,
                     const void* location) {
  Observer* const observer = thread_state.observer;
  if (observer && observer->expected({op, inputs, attributes, location}, results)) return;
  dispatch_unexpected(op, inputs, attributes, results, location);
}

/// How many ops this thread has run through dispatch so far; those that an observer took are not counted.
uint64_t dispatched_ops();

/// How many results an op gives for so many operands, with these attributes.
int result_count(Op op, size_t operands, const Attributes& attributes);

/// dispatch for callers that hold tensors; the results as a vector.
std::vector<Tensor> run_op(Op op, std::span<const Tensor> inputs, const Attributes& attributes,
                           const void* location = nullptr);

}  // namespace calque
