// The ops on tensors: one function for each row of the op table, operators, and a few words made of them.
//
// Every function takes tensors of any strides, broadcasts by NumPy's rule where the row is elementwise, throws UserError
// with one sentence when inputs do not fit, and is recorded for backward() while gradients are on. What each computes is
// said in ir/op/elementwise.def and ir/op/structural.def, of which these declarations are made.
#pragma once

#include <array>
#include <span>
#include <vector>

#include "calque/tensor.h"

namespace calque {

#define CALQUE_HANDLE Tensor
#define CALQUE_WITH_CREATION
#include "ir/op/functions.inc"
#undef CALQUE_WITH_CREATION
#undef CALQUE_HANDLE

/// A 0-d constant of the dtype of `like`.
Tensor scalar(double value, const Tensor& like);

inline Tensor operator-(const Tensor& x) { return neg(x); }
// Operators; a number takes the dtype of the tensor beside it.
#define CALQUE_TENSOR_OPERATOR(symbol, function)                                                              \
  [[gnu::always_inline]] inline Tensor operator symbol(const Tensor& a, const Tensor& b) { return function(a, b); } \
  [[gnu::always_inline]] inline Tensor operator symbol(const Tensor& a, double b) {                           \
    return function(a, scalar(b, a));                                                                         \
  }                                                                                                           \
  [[gnu::always_inline]] inline Tensor operator symbol(double a, const Tensor& b) {                           \
    return function(scalar(a, b), b);                                                                         \
  }
CALQUE_TENSOR_OPERATOR(+, add)
CALQUE_TENSOR_OPERATOR(-, sub)
CALQUE_TENSOR_OPERATOR(*, mul)
CALQUE_TENSOR_OPERATOR(/, div)
CALQUE_TENSOR_OPERATOR(<, less)
CALQUE_TENSOR_OPERATOR(<=, less_equal)
CALQUE_TENSOR_OPERATOR(>, greater)
CALQUE_TENSOR_OPERATOR(>=, greater_equal)
#undef CALQUE_TENSOR_OPERATOR

/// `auto [i, f, g, o] = split<4>(gates, -1);`
template <int parts>
[[gnu::always_inline]] inline std::array<Tensor, parts> split(const Tensor& x, int64_t axis = -1) {
  std::vector<Tensor> pieces = split(x, parts, axis);
  std::array<Tensor, parts> result;
  for (int i = 0; i < parts; ++i) result[i] = std::move(pieces[i]);
  return result;
}
[[gnu::always_inline]] inline Tensor concat(std::initializer_list<Tensor> tensors, int64_t axis) {
  return concat(std::span<const Tensor>(tensors.begin(), tensors.size()), axis);
}
/// layer_norm(x) * weight + bias, both of the size of the last axis.
[[gnu::always_inline]] inline Tensor layer_norm(const Tensor& x, const Tensor& weight, const Tensor& bias,
                                                double epsilon = 1e-5) {
  return add(mul(layer_norm(x, epsilon), weight), bias);
}
/// x with two axes exchanged.
Tensor transpose(const Tensor& x, int64_t axis_a = -2, int64_t axis_b = -1);
/// Row `index` of one axis, which is dropped: x[index] for axis 0.
Tensor select(const Tensor& x, int64_t axis, int64_t index);
/// x with an axis of size 1 inserted before `axis`.
Tensor unsqueeze(const Tensor& x, int64_t axis);
/// Joins tensors of one shape along a new axis.
Tensor stack(std::span<const Tensor> tensors, int64_t axis = 0);

}  // namespace calque
