// The ops on tensors: one function for each row of the op table, operators, and a few words made of them.
//
// Every function takes tensors of any strides, broadcasts by NumPy's rule where the row is elementwise, throws UserError
// with one sentence when inputs do not fit, and is recorded for backward() while gradients are on. What each computes is
// said in ir/op/elementwise.def and ir/op/structural.def, of which these declarations are made; docs/ops.md lists it.
//
// Operands of different dtypes are cast to their common dtype before an elementwise op, matmul or concat, as the Python
// array API standard says: i32 with i64 is i64, f32 with f64 is f64. What the standard leaves open: a float with an integer
// is that float (i64 with f32 is f32); bool with a number is the number; ops that take floats only (exp, div, mean,
// softmax, ...) turn integers and bools into f32; the sum and the product of bools are i64. Arithmetic on two bools and
// bitwise ops on floats are refused. A plain C++ number beside a tensor takes the tensor's dtype; but a fraction (float,
// double) beside integers or bools is f32, and a whole number beside bools is i64. `promote_types` tells.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <type_traits>
#include <vector>

#include "calque/tensor.h"

#pragma GCC visibility push(default)

namespace calque {

#define CALQUE_HANDLE Tensor
#define CALQUE_WITH_CREATION
#include "ir/op/functions.inc"
#undef CALQUE_WITH_CREATION
#undef CALQUE_HANDLE

/// The common dtype of two: what elementwise ops on tensors of both compute in.
DType promote_types(DType a, DType b);

/// A 0-d constant of the dtype of `like`.
Tensor scalar(double value, const Tensor& like);

enum class NumberKind : uint8_t { truth, whole, fraction };
/// A 0-d constant of the dtype that a plain number of this kind takes beside a tensor.
Tensor number_beside(double value, NumberKind kind, const Tensor& tensor);
/// Throws UserError: whole numbers beside tensors are exact up to 2^53.
[[noreturn]] void refuse_inexact_number();

template <class N>
concept PlainNumber = std::is_arithmetic_v<N>;

template <PlainNumber N>
[[gnu::always_inline]] inline Tensor number_beside(N value, const Tensor& tensor) {
  constexpr NumberKind kind = std::is_same_v<N, bool>        ? NumberKind::truth
                              : std::is_floating_point_v<N> ? NumberKind::fraction
                                                            : NumberKind::whole;
  if constexpr (kind == NumberKind::whole && sizeof(N) == 8) {
    constexpr N most = N{1} << 53;
    if (value > most || (std::is_signed_v<N> && value < static_cast<N>(-most))) refuse_inexact_number();
  }
  return number_beside(static_cast<double>(value), kind, tensor);
}

// The ops on two tensors also take a plain number on one side.
#define UNARY(...)
#define BINARY(name, ...)                                                            \
  template <PlainNumber N>                                                           \
  [[gnu::always_inline]] inline Tensor name(const Tensor& a, N b) {                  \
    return name(a, number_beside(b, a));                                             \
  }                                                                                  \
  template <PlainNumber N>                                                           \
  [[gnu::always_inline]] inline Tensor name(N a, const Tensor& b) {                  \
    return name(number_beside(a, b), b);                                             \
  }
#define SELECT(...)
#include "ir/op/elementwise.def"
template <PlainNumber N>
[[gnu::always_inline]] inline Tensor where(const Tensor& mask, const Tensor& a, N b) {
  return where(mask, a, number_beside(b, a));
}
template <PlainNumber N>
[[gnu::always_inline]] inline Tensor where(const Tensor& mask, N a, const Tensor& b) {
  return where(mask, number_beside(a, b), b);
}

inline Tensor operator-(const Tensor& x) { return neg(x); }
#define CALQUE_TENSOR_OPERATOR(symbol, function)                                                              \
  [[gnu::always_inline]] inline Tensor operator symbol(const Tensor& a, const Tensor& b) { return function(a, b); } \
  template <PlainNumber N>                                                                                    \
  [[gnu::always_inline]] inline Tensor operator symbol(const Tensor& a, N b) {                                \
    return function(a, number_beside(b, a));                                                                  \
  }                                                                                                           \
  template <PlainNumber N>                                                                                    \
  [[gnu::always_inline]] inline Tensor operator symbol(N a, const Tensor& b) {                                \
    return function(number_beside(a, b), b);                                                                  \
  }
CALQUE_TENSOR_OPERATOR(+, add)
CALQUE_TENSOR_OPERATOR(-, sub)
CALQUE_TENSOR_OPERATOR(*, mul)
CALQUE_TENSOR_OPERATOR(/, div)
CALQUE_TENSOR_OPERATOR(%, remainder)
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

#pragma GCC visibility pop

#include "calque/composed.h"
