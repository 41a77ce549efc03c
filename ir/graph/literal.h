// A tensor as plain bytes: what the interpreter computes with and tests compare.
#pragma once

#include <algorithm>
#include <cstddef>
#include <initializer_list>
#include <span>
#include <string>
#include <vector>

#include "ir/op/error.h"
#include "ir/op/type.h"

namespace calque {

/// Elements in row-major order, without gaps; a bool is one byte, 0 or 1.
struct Literal {
  Type type;
  std::vector<std::byte> bytes;

  Literal() = default;
  /// All elements zero.
  explicit Literal(const Type& type) : type(type), bytes(type.shape.element_count() * size_of(type.dtype)) {}

  /// `Literal::of<float>({2, 2}, {1, 2, 3, 4})`. Throws UserError when the number of values does not fit the
  /// shape.
  template <class T>
  static Literal of(const Shape& shape, std::initializer_list<T> values) {
    return of<T>(shape, std::span<const T>(values.begin(), values.size()));
  }
  template <class T>
  static Literal of(const Shape& shape, std::span<const T> values) {
    Literal literal(Type{dtype_of<T>, shape});
    if (static_cast<int64_t>(values.size()) != shape.element_count())
      throw UserError("literal: " + std::to_string(values.size()) + " values for " + to_string(literal.type));
    std::copy(values.begin(), values.end(), literal.as<T>().begin());
    return literal;
  }

  int64_t size() const { return type.shape.element_count(); }
  /// The elements as T, which must be the type that stores the dtype. Throws UserError otherwise.
  template <class T>
  std::span<T> as() {
    require(dtype_of<T>);
    return {reinterpret_cast<T*>(bytes.data()), static_cast<size_t>(size())};
  }
  template <class T>
  std::span<const T> as() const {
    require(dtype_of<T>);
    return {reinterpret_cast<const T*>(bytes.data()), static_cast<size_t>(size())};
  }

  /// The same type and the same bits (so NaN equals NaN of the same bits, and -0 differs from +0).
  bool operator==(const Literal&) const = default;

 private:
  void require(DType dtype) const {
    if (type.dtype != dtype)
      throw UserError("literal: " + to_string(type) + " is not stored as " + std::string(name(dtype)));
  }
};

/// Calls f(T{}) with the C++ type that stores a dtype: float, double, int64_t, int32_t or bool.
template <class F>
decltype(auto) with_element_type(DType dtype, F f) {
  switch (dtype) {
    case DType::f32:
      return f(float{});
    case DType::f64:
      return f(double{});
    case DType::i64:
      return f(int64_t{});
    case DType::i32:
      return f(int32_t{});
    case DType::boolean:
      return f(bool{});
  }
  throw InternalError("literal: no such dtype");
}

}  // namespace calque
