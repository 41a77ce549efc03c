// The meaning of scalar programs, one element at a time; and of the number conversions.
#pragma once

#include <cmath>
#include <cstdint>
#include <limits>
#include <span>
#include <type_traits>

#include "ir/op/scalar/program.h"

namespace calque {

/// The bits of one scalar, in the low bytes; a mask is 0 or 1.
using ScalarBits = uint64_t;

/// Runs a program on its arguments.
ScalarBits run_program(const ScalarProgram& program, std::span<const ScalarBits> arguments);

/// Float to integer truncates and saturates, NaN gives 0; i64 to i32 saturates; the rest rounds to nearest.
template <class To, class From>
To convert_number(From value) {
  if constexpr (std::is_floating_point_v<From> && std::is_integral_v<To>) {
    // 2^31 and 2^63 are numbers of both floating formats; the largest integers are not.
    const From end = std::ldexp(From(1), std::numeric_limits<To>::digits);
    if (std::isnan(value)) return 0;
    if (value >= end) return std::numeric_limits<To>::max();
    if (value < -end) return std::numeric_limits<To>::min();
  } else if constexpr (std::is_same_v<From, int64_t> && std::is_same_v<To, int32_t>) {
    if (value > INT32_MAX) return INT32_MAX;
    if (value < INT32_MIN) return INT32_MIN;
  }
  return static_cast<To>(value);
}

/// Sum; integers wrap.
template <class T>
T wrapping_add(T a, T b) {
  if constexpr (std::is_integral_v<T>) {
    using Unsigned = std::make_unsigned_t<T>;
    return static_cast<T>(static_cast<Unsigned>(a) + static_cast<Unsigned>(b));
  } else {
    return a + b;
  }
}

}  // namespace calque
