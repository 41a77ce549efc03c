// The judges of the elementwise rows: libm in long double with the bounds that the formulas state, and exact integers. One
// line for each row that rounds; it shares no code with Calque's engines.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>

#include "tests/support/expected.h"
#include "tests/support/philox.h"

namespace calque::test {

/// Correctly rounded results are within half an ulp of the exact value; long double adds next to nothing.
inline constexpr double kRounded = 0.501;

/// A function of one float that is not exact: the true value and the stated bounds in ulp.
struct RoundedRow {
  Op op;
  long double (*exact)(long double x, DType dtype);
  double f32_ulps, f64_ulps;

  double ulps(DType dtype) const { return dtype == DType::f32 ? f32_ulps : f64_ulps; }
};

/// Where the range reduction of sin, cos and tan ends, an angle counts as zero.
inline long double reduced_angle(long double x, DType dtype) {
  return std::fabs(x) < (dtype == DType::f32 ? 6.5e6L : 2e15L) ? x : x - x;
}

inline const RoundedRow kRoundedRows[] = {
    {Op::exp, [](long double x, DType) { return std::exp(x); }, 1.1, 1.5},
    {Op::expm1, [](long double x, DType) { return std::expm1(x); }, 1.6, 2.0},
    {Op::log, [](long double x, DType) { return x < 0 ? std::nanl("") : std::log(x); }, 1.0, 1.5},
    {Op::log1p, [](long double x, DType) { return x < -1 ? std::nanl("") : std::log1p(x); }, 2.0, 2.0},
    {Op::sqrt, [](long double x, DType) { return std::sqrt(x); }, kRounded, kRounded},
    {Op::rsqrt, [](long double x, DType) { return 1 / std::sqrt(x); }, 1.5, 1.5},
    {Op::reciprocal, [](long double x, DType) { return 1 / x; }, kRounded, kRounded},
    {Op::square, [](long double x, DType) { return x * x; }, kRounded, kRounded},
    {Op::sin, [](long double x, DType dtype) { return std::sin(reduced_angle(x, dtype)); }, 1.7, 1.7},
    {Op::cos, [](long double x, DType dtype) { return std::cos(reduced_angle(x, dtype)); }, 1.7, 1.7},
    {Op::tan, [](long double x, DType dtype) { return std::tan(reduced_angle(x, dtype)); }, 4.0, 4.0},
    {Op::atan, [](long double x, DType) { return std::atan(x); }, 3.5, 3.5},
    {Op::tanh, [](long double x, DType) { return std::tanh(x); }, 2.5, 3.0},
    {Op::erf, [](long double x, DType) { return std::erf(x); }, 3.0, 3.0},
    {Op::softplus,
     [](long double x, DType) { return (x < 0 ? 0 : x) + std::log1p(std::exp(-std::fabs(x))); }, 3.0, 3.0},
    {Op::ndtri, [](long double x, DType) { return normal_quantile(x); }, 8.0, 8.0},
    {Op::sigmoid,
     [](long double x, DType) {
       const long double e = std::exp(-std::fabs(x));
       return x < 0 ? e / (1 + e) : 1 / (1 + e);
     },
     2.5, 2.3},
};

/// The least x for which sigmoid is not 0, as its formula says.
inline long double sigmoid_end(DType dtype) { return dtype == DType::f32 ? -87.33L : -708.39L; }

inline const RoundedRow* rounded_row(Op op) {
  const RoundedRow* found = std::find_if(std::begin(kRoundedRows), std::end(kRoundedRows), [&](const RoundedRow& r) { return r.op == op; });
  return found == std::end(kRoundedRows) ? nullptr : found;
}

inline Expected oracle_float_unary(Op op, long double x, DType dtype) {
  if (const RoundedRow* entry = rounded_row(op)) {
    const long double exact = entry->exact(x, dtype);
    if (op == Op::sigmoid && x < sigmoid_end(dtype)) return {{0, 0}, exact, true};  // 0 instead of next to nothing
    return within_ulps(exact, entry->ulps(dtype), dtype);
  }
  switch (op) {
    case Op::neg: return exactly(-x);
    case Op::abs: return exactly(std::fabs(x));
    case Op::sign: return exactly(x > 0 ? 1 : x < 0 ? -1 : x);
    case Op::relu: return std::isnan(x) ? exactly(x) : exactly(x >= 0 ? x : 0);
    case Op::floor: return exactly(std::floor(x));
    case Op::ceil: return exactly(std::ceil(x));
    case Op::trunc: return exactly(std::trunc(x));
    case Op::round: return exactly(std::nearbyint(x));
    default: throw InternalError(std::string("oracle: no judge of ") + row(op).name + "; tests/support/elementwise_oracle.h");
  }
}

/// Floored division of finite numbers, exact: C's fmod, moved to the sign of b.
inline long double floored_remainder(long double a, long double b) {
  const long double rest = std::fmod(a, b);
  return rest != 0 && (rest < 0) != (b < 0) ? rest + b : rest;
}

inline Expected oracle_float_division(Op op, long double a, long double b, DType dtype) {
  if (std::isnan(a) || std::isnan(b) || (std::isinf(a) && (std::isinf(b) || op == Op::remainder)))
    return exactly(std::nanl(""));
  if (b == 0) return exactly(op == Op::remainder ? std::nanl("") : a / b);
  const bool opposite = a != 0 && (a < 0) != (b < 0);
  if (std::isinf(a)) return exactly(a / b);
  if (std::isinf(b)) {
    if (op == Op::floor_divide) return {{opposite ? -1.0L : 0.0L, 0}, 0, true};
    return {{opposite ? b : a, 0}, 0, true};
  }
  const long double rest = floored_remainder(a, b), quotient = a / b;
  const long double limit = dtype == DType::f32 ? 16777216.0L : 9007199254740992.0L;
  const bool is_large = !(std::fabs(rounded(quotient, dtype)) < limit);
  if (op == Op::remainder) {
    if (is_large) return {{0, 0}, 0, true};
    return rest == 0 ? Expected{{0, 0}, 0, true} : within_ulps(rest, kRounded, dtype);
  }
  if (is_large) return within_ulps(quotient, kRounded, dtype);
  const long double whole = std::fabs(quotient) < 1 ? std::floor(quotient) : std::round((a - rest) / b);
  return {{whole == 0 && opposite ? -1.0L : whole, 0}, 0, true};
}

inline Expected oracle_float_binary(Op op, long double a, long double b, DType dtype) {
  const auto nan_or = [&](long double value) { return exactly(std::isnan(a) || std::isnan(b) ? std::nanl("") : value); };
  const bool single = dtype == DType::f32;
  switch (op) {
    case Op::add: return a + b == 0 ? exactly(a + b) : within_ulps(a + b, kRounded, dtype);
    case Op::sub: return a - b == 0 ? exactly(a - b) : within_ulps(a - b, kRounded, dtype);
    case Op::mul: return within_ulps(a * b, kRounded, dtype);
    case Op::div: return within_ulps(a / b, kRounded, dtype);
    case Op::pow: return within_ulps(std::pow(a, b), single ? 1.5L : 2.0L, dtype);
    case Op::atan2: return within_ulps(std::atan2(a, b), 3.5L, dtype);
    case Op::floor_divide:
    case Op::remainder: return oracle_float_division(op, a, b, dtype);
    case Op::maximum: return nan_or(a >= b ? a : b);
    case Op::minimum: return nan_or(a <= b ? a : b);
    default: throw InternalError(std::string("oracle: no judge of ") + row(op).name + "; tests/support/elementwise_oracle.h");
  }
}

inline __int128 floored_quotient(__int128 a, __int128 b) {
  if (b == 0) return 0;
  const __int128 quotient = a / b;
  return quotient * b != a && (a < 0) != (b < 0) ? quotient - 1 : quotient;
}

/// a to the power b modulo 2^64, by multiplying as often as the power's bits say.
inline __int128 integer_power_of(__int128 a, __int128 b) {
  if (b < 0) return a == 1 ? 1 : a == -1 ? (b % 2 == 0 ? 1 : -1) : 0;
  uint64_t result = 1, factor = static_cast<uint64_t>(a);
  for (; b > 0; b >>= 1, factor *= factor)
    if (b & 1) result *= factor;
  return static_cast<__int128>(result);
}

inline Expected oracle_integer(Op op, __int128 a, __int128 b, DType dtype) {
  switch (op) {
    case Op::neg: return integer(-a, dtype);
    case Op::abs: return integer(a < 0 ? -a : a, dtype);
    case Op::sign: return integer((a > 0) - (a < 0), dtype);
    case Op::square: return integer(static_cast<__int128>(static_cast<uint64_t>(a) * static_cast<uint64_t>(a)), dtype);
    case Op::relu: return integer(std::max<__int128>(a, 0), dtype);
    case Op::floor:
    case Op::ceil:
    case Op::trunc:
    case Op::round: return integer(a, dtype);
    case Op::bitwise_not: return integer(-a - 1, dtype);
    case Op::add: return integer(a + b, dtype);
    case Op::sub: return integer(a - b, dtype);
    case Op::mul: return integer(a * b, dtype);
    case Op::floor_divide: return integer(floored_quotient(a, b), dtype);
    case Op::remainder: return integer(b == 0 ? a : a - b * floored_quotient(a, b), dtype);
    case Op::pow: return integer(integer_power_of(a, b), dtype);
    case Op::maximum: return integer(std::max(a, b), dtype);
    case Op::minimum: return integer(std::min(a, b), dtype);
    case Op::bitwise_and: return integer(a & b, dtype);
    case Op::bitwise_or: return integer(a | b, dtype);
    case Op::bitwise_xor: return integer(a ^ b, dtype);
    case Op::philox: return integer(philox53(static_cast<int64_t>(a), static_cast<int64_t>(b)), dtype);
    default: throw InternalError(std::string("oracle: no judge of ") + row(op).name + "; tests/support/elementwise_oracle.h");
  }
}

/// Comparisons and tests of floats in long double, of integers and bools as they are.
inline bool oracle_compare(Op op, const Number& x, const Number& y, bool floating) {
  if (op == Op::isnan) return floating && std::isnan(x.value);
  if (op == Op::isinf) return floating && std::isinf(x.value);
  if (op == Op::isfinite) return !floating || std::isfinite(x.value);
  const auto compare = [op](auto a, auto b) {
    switch (op) {
      case Op::less: return a < b;
      case Op::less_equal: return a <= b;
      case Op::greater: return a > b;
      case Op::greater_equal: return a >= b;
      case Op::equal: return a == b;
      case Op::not_equal: return a != b;
      default: throw InternalError(std::string("oracle: no judge of ") + row(op).name);
    }
  };
  return floating ? compare(x.value, y.value) : compare(x.integer, y.integer);
}

inline bool oracle_logical(Op op, bool a, bool b) {
  switch (op) {
    case Op::logical_not: return !a;
    case Op::logical_and: return a && b;
    case Op::logical_or: return a || b;
    case Op::logical_xor: return a != b;
    default: throw InternalError(std::string("oracle: no judge of ") + row(op).name);
  }
}

}  // namespace calque::test
