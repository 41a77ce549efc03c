// What an element of a result must be, and whether it is.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "tests/support/op_cases.h"

namespace calque::test {

/// One element in a form that holds every dtype: integers and bools exactly, floats as long double.
struct Number {
  long double value = 0;
  int64_t integer = 0;
};

/// What an element must be: `value` within `bound` (0: the same bits but for NaN), or `integer`. A float that
/// overflows within the bound may be infinite. With `any_zero`, a zero may have either sign; with `or_nan`,
/// NaN is as good; where `bound` is infinite besides, there is no telling.
struct Expected {
  Number number;
  long double bound = 0;
  bool any_zero = false;
  bool or_nan = false;
};

/// A tensor read once, elements in row-major order.
class Elements {
 public:
  explicit Elements(const Tensor& tensor) : type_{tensor.dtype(), tensor.shape()} {
    with_element_type(type_.dtype, [&]<class T>(T) {
      for (T element : tensor.to_vector<T>()) {
        if constexpr (std::is_floating_point_v<T>)
          numbers_.push_back({element, 0});
        else
          numbers_.push_back({static_cast<long double>(element), static_cast<int64_t>(element)});
      }
    });
  }
  const Type& type() const { return type_; }
  const Shape& shape() const { return type_.shape; }
  const Number& operator[](int64_t i) const { return numbers_[i]; }
  int64_t size() const { return static_cast<int64_t>(numbers_.size()); }

 private:
  Type type_;
  std::vector<Number> numbers_;
};

/// Coordinates of element i in row-major order, and back.
using Coordinates = std::array<int64_t, kMaxRank>;
inline Coordinates coordinates(int64_t i, const Shape& shape) {
  Coordinates result{};
  for (int axis = shape.rank() - 1; axis >= 0; --axis) {
    result[axis] = i % shape[axis];
    i /= shape[axis];
  }
  return result;
}
inline int64_t position(const Coordinates& at, const Shape& shape) {
  int64_t i = 0;
  for (int axis = 0; axis < shape.rank(); ++axis) i = i * shape[axis] + at[axis];
  return i;
}
/// The element of an operand that broadcasting puts at `at`, coordinates in a result of `rank` axes: trailing
/// axes line up, size 1 repeats.
inline int64_t broadcast_position(const Coordinates& at, int rank, const Shape& operand) {
  Coordinates own{};
  for (int axis = 0; axis < operand.rank(); ++axis)
    own[axis] = operand[axis] == 1 ? 0 : at[rank - operand.rank() + axis];
  return position(own, operand);
}

inline long double epsilon_of(DType dtype) {
  return dtype == DType::f32 ? std::numeric_limits<float>::epsilon() : std::numeric_limits<double>::epsilon();
}
/// One unit in the last place of `exact`; that of the subnormals below the smallest normal number.
inline long double ulp_of(long double exact, DType dtype) {
  int exponent = 0;
  std::frexp(exact, &exponent);
  return dtype == DType::f32 ? std::ldexp(1.0L, std::max(exponent, -125) - 24)
                             : std::ldexp(1.0L, std::max(exponent, -1021) - 53);
}
inline long double largest_of(DType dtype) {
  return dtype == DType::f32 ? std::numeric_limits<float>::max() : std::numeric_limits<double>::max();
}
/// The nearest number of a float dtype.
inline long double rounded(long double value, DType dtype) {
  return dtype == DType::f32 ? static_cast<long double>(static_cast<float>(value))
                             : static_cast<double>(value);
}

/// An integer reduced to 32 or 64 bits in two's complement.
inline int64_t wrapped(__int128 value, DType dtype) {
  return dtype == DType::i32 ? static_cast<int32_t>(static_cast<uint32_t>(value))
                             : static_cast<int64_t>(static_cast<uint64_t>(value));
}
inline Expected exactly(long double value) { return {{value, 0}, 0, false}; }
inline Expected integer(__int128 value, DType dtype) { return {{0, wrapped(value, dtype)}, 0, false}; }
inline Expected within_ulps(long double exact, long double ulps, DType dtype) {
  if (!std::isfinite(exact) || exact == 0) return exactly(exact);
  return {{exact, 0}, ulps * ulp_of(exact, dtype), true};
}

inline bool agrees(const Number& got, const Expected& expected, DType dtype) {
  if (!is_floating(dtype)) return got.integer == expected.number.integer;
  const long double want = expected.number.value;
  if (expected.or_nan && (std::isnan(got.value) || std::isinf(expected.bound))) return true;
  if (std::isnan(want) || std::isnan(got.value)) return std::isnan(want) && std::isnan(got.value);
  if (std::isinf(got.value) && !std::isinf(want))
    return expected.bound > 0 && std::signbit(got.value) == std::signbit(want) &&
           std::fabs(want) + expected.bound >= largest_of(dtype);
  if (got.value == 0 && want == 0) return expected.any_zero || std::signbit(got.value) == std::signbit(want);
  if (expected.bound == 0 || std::isinf(want)) return got.value == want;
  return std::fabs(got.value - want) <= expected.bound;
}

}  // namespace calque::test
