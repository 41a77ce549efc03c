// The scalar formulas that need more than an operator, each written once over any engine.
//
// An engine is a set of value types X, one for each dtype, with X::Scalar and
//   + - * / and unary - (an integer divisor is neither 0 nor -1); comparisons, which give a mask; & | ^ ! on masks;
//   select(mask, a, b);
//   fma(a, b, c), rounded once; square_root(a); floor_of(a); X::constant(double);
//   bits(a), the integer of the same width, on which there are + - & | ^ ~, shift_left(i, n), shift_right(i, n)
//   (arithmetic), shift_right_logical(i, n) and, for i64, multiply_halves(i, j); back by X::from_bits(i) (the same bits)
//   and X::from_integer(i) (the same number).
// Host vectors (runtime/kernels/vector.h) run a formula; the recorder (ir/op/scalar/recorder.h) writes it down as a
// scalar program.
#pragma once

#include <cstdint>

namespace calque {

#define CALQUE_FORMULA template <class X> [[gnu::always_inline]] static inline X

CALQUE_FORMULA zero_of(X) { return X::constant(0.0); }
CALQUE_FORMULA one_of(X) { return X::constant(1.0); }

template <class X>
inline constexpr bool is_float_engine = static_cast<typename X::Scalar>(0.5) != 0;

CALQUE_FORMULA absolute(X x) { return select(x < zero_of(x), -x, x); }

/// Larger of two; NaN if either is NaN; a if equal (so max(-0, +0) is -0 and max(+0, -0) is +0, everywhere).
CALQUE_FORMULA maximum_formula(X a, X b) { return select((a >= b) | (a != a), a, b); }
CALQUE_FORMULA minimum_formula(X a, X b) { return select((a <= b) | (a != a), a, b); }

/// Sizes of the floating formats: f32 and f64.
template <class Scalar>
struct FloatFormat;
template <>
struct FloatFormat<float> {
  static constexpr int kMantissaBits = 23, kBias = 127;
  static constexpr double kRoundingMagic = 12582912.0;  // 1.5 * 2^23: adding it rounds to an integer
};
template <>
struct FloatFormat<double> {
  static constexpr int kMantissaBits = 52, kBias = 1023;
  static constexpr double kRoundingMagic = 6755399441055744.0;  // 1.5 * 2^52
};

CALQUE_FORMULA infinity_of(X) {
  using Format = FloatFormat<typename X::Scalar>;
  using Integer = decltype(bits(X{}));
  return X::from_bits(shift_left(Integer::constant(2 * Format::kBias + 1), Format::kMantissaBits));
}

template <class X>
[[gnu::always_inline]] static inline auto sign_bit_of(X x) {
  using Integer = decltype(bits(x));
  return shift_left(Integer::constant(1), 8 * sizeof(typename X::Scalar) - 1);
}

/// The magnitude of one number, which is not negative or is NaN, with the sign bit of another.
CALQUE_FORMULA with_sign_of(X magnitude, X sign) {
  return X::from_bits(bits(magnitude) | (bits(sign) & sign_bit_of(sign)));
}

template <class X>
[[gnu::always_inline]] static inline X polynomial(X, X value) { return value; }
/// Horner's rule from the highest coefficient down, one fma a step.
template <class X, class... Rest>
[[gnu::always_inline]] static inline X polynomial(X x, X value, double next, Rest... rest) {
  return polynomial(x, fma(value, x, X::constant(next)), rest...);
}

/// e^x = 2^whole (1 + fraction).
template <class X>
struct ExpParts {
  X fraction;
  decltype(bits(X{})) whole;
};

/// e^(x + low) = 2^n e^r with |r| <= ln(2)/2 (Cody and Waite 1980), where x is in range and low, if given, far smaller.
/// f32: degree 6 minimax (Moshier, Cephes expf); f64: degree 13 Taylor.
template <class X, class... Low>
[[gnu::always_inline]] static inline ExpParts<X> exp_parts(X x, Low... low) {
  using Format = FloatFormat<typename X::Scalar>;
  constexpr bool single = sizeof(typename X::Scalar) == 4;
  const X magic = X::constant(Format::kRoundingMagic);
  const X shifted = fma(x, X::constant(1.44269504088896341), magic);
  const X n = shifted - magic;
  X r = fma(n, X::constant(single ? -0.693359375 : -6.93147180369123816490e-01), x);
  r = fma(n, X::constant(single ? 2.12194440e-4 : -1.90821492927058770002e-10), r);
  if constexpr (sizeof...(Low) > 0) r = (r + ... + low);
  X p;
  if constexpr (single) {
    p = polynomial(r, X::constant(1.9875691500e-4), 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2,
                   1.6666665459e-1, 5.0000001201e-1);
  } else {
    p = polynomial(r, X::constant(1.0 / 6227020800.0), 1.0 / 479001600.0, 1.0 / 39916800.0, 1.0 / 3628800.0,
                   1.0 / 362880.0, 1.0 / 40320.0, 1.0 / 5040.0, 1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5);
  }
  return {fma(p, r * r, r), bits(shifted) - bits(magic)};
}

/// e^(x + low), low far smaller than x. exp(-inf) = 0, exp(inf) = inf.
template <class X, class... Low>
[[gnu::always_inline]] static inline X exp_of_sum(X x, Low... low) {
  using Format = FloatFormat<typename X::Scalar>;
  constexpr bool single = sizeof(typename X::Scalar) == 4;
  x = select(x > X::constant(single ? 90.0 : 711.0), X::constant(single ? 90.0 : 711.0), x);
  x = select(x < X::constant(single ? -105.0 : -747.0), X::constant(single ? -105.0 : -747.0), x);
  const ExpParts<X> parts = exp_parts(x, low...);
  const X p = parts.fraction + one_of(x);
  // 2^n in two factors, so that results at both ends of the range stay exact powers times p.
  const auto half = shift_right(parts.whole, 1);
  const auto rest = parts.whole - half;
  using Integer = decltype(bits(x));
  const Integer bias = Integer::constant(Format::kBias);
  return p * X::from_bits(shift_left(half + bias, Format::kMantissaBits)) *
         X::from_bits(shift_left(rest + bias, Format::kMantissaBits));
}

/// Error below 1.1 ulp for f32, 1.5 ulp for f64. Subnormal results round twice.
CALQUE_FORMULA exp_formula(X x) { return exp_of_sum(x); }

/// 2^n where that is a normal number.
template <class X, class Integer>
[[gnu::always_inline]] static inline X power_of_two(X, Integer n) {
  using Format = FloatFormat<typename X::Scalar>;
  return X::from_bits(shift_left(n + Integer::constant(Format::kBias), Format::kMantissaBits));
}

/// 1 / (1 + e^-x), through e^-|x|, which never overflows. Error below 2.5 ulp for f32, 2.3 ulp for f64; where the result would be about
/// the smallest normal number (x below -87.33 or -708.39) it is 0.
CALQUE_FORMULA sigmoid_formula(X x) {
  constexpr bool single = sizeof(typename X::Scalar) == 4;
  const X exponent = X::from_bits(bits(x) | sign_bit_of(x));
  const ExpParts<X> parts = exp_parts(exponent);
  const X scale = power_of_two(x, parts.whole);
  const X e = select(exponent < X::constant(single ? -87.33 : -708.39), zero_of(x), fma(scale, parts.fraction, scale));
  return select(x < zero_of(x), e, one_of(x)) / (one_of(x) + e);
}

/// tanh x = -m / (2 + m) with the sign of x, where m = e^-2|x| - 1 = 2^n (1 + fraction) - 1, which is exact enough near 0, too. Error below
/// 2.5 ulp for f32, 3 ulp for f64.
CALQUE_FORMULA tanh_formula(X x) {
  constexpr bool single = sizeof(typename X::Scalar) == 4;
  const X minus_magnitude = X::from_bits(bits(x) | sign_bit_of(x)), lowest = X::constant(single ? -30.0 : -45.0);
  const X exponent = minus_magnitude + minus_magnitude;
  const ExpParts<X> parts = exp_parts(select(exponent < lowest, lowest, exponent));
  const X scale = power_of_two(x, parts.whole);
  const X m = fma(scale, parts.fraction, scale - one_of(x));
  const X quotient = m / (X::constant(2.0) + m);
  return X::from_bits((bits(quotient) & ~sign_bit_of(x)) | (bits(x) & sign_bit_of(x)));
}

/// A positive finite number as 2^exponent mantissa, mantissa in [sqrt(1/2), sqrt(2)). Subnormals are scaled first.
template <class X>
struct BinaryParts {
  X mantissa, exponent;
};
template <class X>
[[gnu::always_inline]] static inline BinaryParts<X> binary_parts(X x) {
  using Scalar = typename X::Scalar;
  using Format = FloatFormat<Scalar>;
  using Integer = decltype(bits(x));
  constexpr bool single = sizeof(Scalar) == 4;
  const auto tiny = x < X::constant(single ? 1.17549435e-38 : 2.2250738585072014e-308);
  const X scaled = select(tiny, x * X::constant(single ? 16777216.0 : 18014398509481984.0), x);
  const auto raw = bits(scaled);
  const auto mantissa_mask = Integer::constant(single ? 8388607.0 : 4503599627370495.0);
  const auto half_exponent = shift_left(Integer::constant(Format::kBias - 1), Format::kMantissaBits);
  X m = X::from_bits((raw & mantissa_mask) | half_exponent);  // in [0.5, 1)
  X e = X::from_integer(shift_right(raw, Format::kMantissaBits) - Integer::constant(Format::kBias - 1));
  e = e - select(tiny, X::constant(single ? 24.0 : 54.0), zero_of(x));
  const auto low = m < X::constant(0.70710678118654752440);
  return {select(low, m + m, m), select(low, e - one_of(x), e)};
}

/// log x = e ln 2 + log m (Moshier, Cephes logf and log). Error below 1 ulp for f32 and 1.5 ulp for f64. log(0) = -inf, log
/// of a negative number is NaN.
CALQUE_FORMULA log_formula(X x) {
  constexpr bool single = sizeof(typename X::Scalar) == 4;
  const BinaryParts<X> parts = binary_parts(x);
  const X e = parts.exponent, m = parts.mantissa - one_of(x);
  const X z = m * m;
  X tail;
  if constexpr (single) {
    tail = m * z * polynomial(m, X::constant(7.0376836292e-2), -1.1514610310e-1, 1.1676998740e-1, -1.2420140846e-1,
                              1.4249322787e-1, -1.6668057665e-1, 2.0000714765e-1, -2.4999993993e-1, 3.3333331174e-1);
  } else {
    const X p = polynomial(m, X::constant(1.01875663804580931796e-4), 4.97494994976747001425e-1,
                           4.70579119878881725854e0, 1.44989225341610930846e1, 1.79368678507819816313e1,
                           7.70838733755885391666e0);
    const X q = polynomial(m, one_of(x), 1.12873587189167450590e1, 4.52279145837532221105e1,
                           8.29875266912776603211e1, 7.11544750618563894466e1, 2.31251620126765340583e1);
    tail = m * (z * p / q);
  }
  tail = fma(e, X::constant(-2.121944400546905827679e-4), tail);
  tail = fma(X::constant(-0.5), z, tail);
  const X finite = fma(e, X::constant(0.693359375), m + tail);
  const X infinity = infinity_of(x);
  const X not_a_number = infinity - infinity;
  const X result = select(x == infinity, x, finite);
  return select(x == zero_of(x), -infinity, select((x < zero_of(x)) | (x != x), not_a_number, result));
}

}  // namespace calque

// In this order: later ones build on earlier ones.
#include "ir/op/scalar/division.h"
#include "ir/op/scalar/exponential.h"
#include "ir/op/scalar/power.h"
#include "ir/op/scalar/trigonometry.h"

#undef CALQUE_FORMULA
