// The eager kernels: one for each op of the table that is neither a view nor a composite. They compute, and know nothing
// of tensors' ownership, autograd or tracing.
#pragma once

#include <array>
#include <span>

#include "ir/op/op.h"
#include "runtime/strides.h"

namespace calque::kernels {

/// Memory seen as a tensor: strides are in elements and may be 0 (broadcast). Never owns.
struct View {
  void* data = nullptr;
  DType dtype = DType::f32;
  Shape shape;
  Strides strides{};

  template <class T>
  T* as() const { return static_cast<T*>(data); }
};

/// True when the elements lie in row-major order without gaps (axes of size 1 do not matter).
bool is_contiguous(const View& view);

/// Inputs of any strides; results are allocated, contiguous, of the types that the shape rule gave. Types were checked by
/// the shape rule. Throws UserError for bad values (an index out of range).
using EagerKernel = void (*)(std::span<const View> inputs, const Attributes& attributes, std::span<const View> results);

/// The kernel of an op; a row without one is a link error. Views and composites have none (null).
EagerKernel eager_kernel(Op op);

/// Throws the UserError of `op` (of kind indexing) when an index does not name one of `rows` rows.
void check_row_numbers(const View& indices, int64_t rows, const char* op);

/// Copies x into y of the same shape and dtype; both of any strides (those of y without overlap). Uses the thread pool for
/// large tensors.
void copy(const View& x, const View& y);

}  // namespace calque::kernels
