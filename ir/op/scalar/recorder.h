// The engine that writes a formula down instead of computing it. Equal nodes are recorded once.
#pragma once

#include <bit>
#include <cstring>
#include <type_traits>

#include "ir/op/scalar/program.h"

namespace calque::recorder {

/// Appends a node to the program being recorded by this thread (or finds its equal) and returns its index.
int record(ScalarNode node);

template <class T>
constexpr ScalarType kScalarType = std::is_same_v<T, float>     ? ScalarType::f32
                                   : std::is_same_v<T, double>  ? ScalarType::f64
                                   : std::is_same_v<T, int32_t> ? ScalarType::i32
                                                                : ScalarType::i64;
template <class T>
using IntegerOf = std::conditional_t<sizeof(T) == 4, int32_t, int64_t>;

inline int node(Primitive primitive, ScalarType type, int a = -1, int b = -1, int c = -1, uint64_t immediate = 0) {
  return record({primitive, type, {int16_t(a), int16_t(b), int16_t(c)}, immediate});
}

template <class T>
int constant_node(T value) {
  uint64_t word = 0;
  std::memcpy(&word, &value, sizeof value);
  return node(Primitive::constant, kScalarType<T>, -1, -1, -1, word);
}

struct Mask {
  int id = -1;
};
inline Mask operator&(Mask a, Mask b) { return {node(Primitive::bit_and, ScalarType::mask, a.id, b.id)}; }
inline Mask operator|(Mask a, Mask b) { return {node(Primitive::bit_or, ScalarType::mask, a.id, b.id)}; }
inline Mask operator^(Mask a, Mask b) { return {node(Primitive::bit_xor, ScalarType::mask, a.id, b.id)}; }
inline Mask operator==(Mask a, Mask b) { return {node(Primitive::equal, ScalarType::mask, a.id, b.id)}; }
inline Mask operator!=(Mask a, Mask b) { return {node(Primitive::not_equal, ScalarType::mask, a.id, b.id)}; }
inline Mask select(Mask mask, Mask a, Mask b) {
  return {node(Primitive::select, ScalarType::mask, mask.id, a.id, b.id)};
}
inline Mask operator!(Mask a) { return {node(Primitive::bit_not, ScalarType::mask, a.id)}; }

template <class T>
struct Number {
  using Scalar = T;
  using Integer = Number<IntegerOf<T>>;
  int id = -1;
  static Number constant(double value) { return {constant_node(static_cast<T>(value))}; }
  static Number from_bits(Integer i) { return {node(Primitive::bit_cast, kScalarType<T>, i.id)}; }
  static Number from_integer(Integer i) { return {node(Primitive::convert, kScalarType<T>, i.id)}; }
};

#define CALQUE_RECORD(symbol, primitive)                       \
  template <class T>                                           \
  Number<T> operator symbol(Number<T> a, Number<T> b) {        \
    return {node(Primitive::primitive, kScalarType<T>, a.id, b.id)}; \
  }
CALQUE_RECORD(+, add)
CALQUE_RECORD(-, sub)
CALQUE_RECORD(*, mul)
CALQUE_RECORD(/, div)
CALQUE_RECORD(&, bit_and)
CALQUE_RECORD(|, bit_or)
CALQUE_RECORD(^, bit_xor)
#undef CALQUE_RECORD
#define CALQUE_RECORD(symbol, primitive)                       \
  template <class T>                                           \
  Mask operator symbol(Number<T> a, Number<T> b) {             \
    return {node(Primitive::primitive, ScalarType::mask, a.id, b.id)}; \
  }
CALQUE_RECORD(<, less)
CALQUE_RECORD(<=, less_equal)
CALQUE_RECORD(>, greater)
CALQUE_RECORD(>=, greater_equal)
CALQUE_RECORD(==, equal)
CALQUE_RECORD(!=, not_equal)
#undef CALQUE_RECORD

template <class T>
Number<T> operator-(Number<T> a) { return {node(Primitive::negate, kScalarType<T>, a.id)}; }
template <class T>
Number<T> operator~(Number<T> a) { return {node(Primitive::bit_not, kScalarType<T>, a.id)}; }
template <class T>
Number<T> select(Mask mask, Number<T> a, Number<T> b) {
  return {node(Primitive::select, kScalarType<T>, mask.id, a.id, b.id)};
}
template <class T>
Number<T> fma(Number<T> a, Number<T> b, Number<T> c) { return {node(Primitive::fma, kScalarType<T>, a.id, b.id, c.id)}; }
template <class T>
Number<T> square_root(Number<T> a) { return {node(Primitive::square_root, kScalarType<T>, a.id)}; }
template <class T>
Number<T> floor_of(Number<T> a) { return {node(Primitive::floor, kScalarType<T>, a.id)}; }
template <class T>
Number<T> shift_left(Number<T> a, int n) { return {node(Primitive::shift_left, kScalarType<T>, a.id, -1, -1, n)}; }
template <class T>
Number<T> shift_right(Number<T> a, int n) { return {node(Primitive::shift_right, kScalarType<T>, a.id, -1, -1, n)}; }
template <class T>
Number<T> shift_right_logical(Number<T> a, int n) {
  return {node(Primitive::shift_right_logical, kScalarType<T>, a.id, -1, -1, n)};
}
inline Number<int64_t> multiply_halves(Number<int64_t> a, Number<int64_t> b) {
  return {node(Primitive::multiply_halves, ScalarType::i64, a.id, b.id)};
}
template <class T>
typename Number<T>::Integer bits(Number<T> a) {
  return {node(Primitive::bit_cast, kScalarType<typename Number<T>::Integer::Scalar>, a.id)};
}

}  // namespace calque::recorder
