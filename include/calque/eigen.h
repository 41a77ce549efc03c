// Eigen and tensors on the same memory. Not part of calque.h: it needs Eigen (Debian's libeigen3-dev), which nothing else does.
#pragma once

#include <Eigen/Core>
#include <cstdint>
#include <type_traits>
#include <utility>

#include "calque/dlpack.h"
#include "calque/tensor.h"

#pragma GCC visibility push(default)

namespace calque {

/// A matrix of Eigen on a tensor's elements, whatever their strides. With a const Element for reading only.
template <class Element>
using EigenMap = Eigen::Map<
    std::conditional_t<std::is_const_v<Element>,
                       const Eigen::Matrix<std::remove_const_t<Element>, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>,
                       Eigen::Matrix<Element, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>>,
    Eigen::Unaligned, Eigen::Stride<Eigen::Dynamic, Eigen::Dynamic>>;

/// The elements of a tensor of rank 2 without a copy: `as_eigen<const float>(x) * as_eigen<const float>(y)`; with an Element that is not
/// const for writing, which counts as a write in place. A tensor of rank 1 is one column. Throws UserError when the dtype or rank
/// differs. Valid as long as the pointer of Tensor::data() or mutable_data() is.
template <class Element>
EigenMap<Element> as_eigen(const Tensor& tensor) {
  if (tensor.rank() != 1 && tensor.rank() != 2)
    throw UserError("as_eigen: a matrix or a vector is needed, got " + to_string(tensor.shape()));
  const bool is_matrix = tensor.rank() == 2;
  const Eigen::Stride<Eigen::Dynamic, Eigen::Dynamic> strides(tensor.stride(0), is_matrix ? tensor.stride(1) : 1);
  const int64_t rows = tensor.size(0), columns = is_matrix ? tensor.size(1) : 1;
  if constexpr (std::is_const_v<Element>) {
    return EigenMap<Element>(tensor.data<std::remove_const_t<Element>>(), rows, columns, strides);
  } else {
    Tensor writable = tensor;
    return EigenMap<Element>(writable.mutable_data<Element>(), rows, columns, strides);
  }
}
/// A map of a tensor that is gone at the end of the line would point nowhere.
template <class Element>
EigenMap<Element> as_eigen(Tensor&& tensor) = delete;

namespace detail {

/// An Eigen matrix that a tensor keeps alive.
template <class Matrix>
struct LentMatrix {
  explicit LentMatrix(Matrix&& from) : matrix(std::move(from)) {}
  Matrix matrix;
  int64_t shape[2] = {}, strides[2] = {};
  DLManagedTensor managed{};
};

}  // namespace detail

/// A tensor [rows, columns] that takes over a matrix or array of float, double, int32_t, int64_t or bool, without a copy of its
/// elements: `from_eigen(std::move(m))`, or any expression, which is computed. A column-major one becomes a tensor with the strides
/// of that order.
template <class Expression>
Tensor from_eigen(Expression&& expression) {
  using Matrix = typename std::decay_t<Expression>::PlainObject;
  using Element = typename Matrix::Scalar;
  auto* lent = new detail::LentMatrix<Matrix>(Matrix(std::forward<Expression>(expression)));
  const Matrix& matrix = lent->matrix;
  lent->shape[0] = matrix.rows(), lent->shape[1] = matrix.cols();
  lent->strides[0] = matrix.rowStride(), lent->strides[1] = matrix.colStride();
  constexpr DLDataTypeCode kCode = std::is_same_v<Element, bool>        ? kDLBool
                                   : std::is_floating_point_v<Element> ? kDLFloat
                                                                       : kDLInt;
  lent->managed.dl_tensor = {.data = lent->matrix.data(),
                             .device = {kDLCPU, 0},
                             .ndim = 2,
                             .dtype = {static_cast<uint8_t>(kCode), 8 * sizeof(Element), 1},
                             .shape = lent->shape,
                             .strides = lent->strides,
                             .byte_offset = 0};
  lent->managed.manager_ctx = lent;
  lent->managed.deleter = [](DLManagedTensor* self) { delete static_cast<detail::LentMatrix<Matrix>*>(self->manager_ctx); };
  try {
    return from_dlpack(&lent->managed);
  } catch (...) {
    delete lent;
    throw;
  }
}

}  // namespace calque

#pragma GCC visibility pop
