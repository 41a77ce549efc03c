// Powers. Included by formulas.h.
#pragma once

namespace calque {

/// A number as the sum of two, the second far smaller.
template <class X>
struct TwoWords {
  X high, low;
};

/// The logarithm of a positive finite number to about twice its precision: log x = e ln 2 + 2 atanh s with
/// s = (m - 1) / (m + 1), the leading terms of atanh s = s + s^3/3 + s^5/5 + ... in two words.
template <class X>
[[gnu::always_inline]] static inline TwoWords<X> log_in_two_words(X x) {
  constexpr bool single = sizeof(typename X::Scalar) == 4;
  const BinaryParts<X> parts = binary_parts(x);
  const X one = one_of(x), m = parts.mantissa, e = parts.exponent;
  const X sum = m + one, sum_low = select(m > one, one - (sum - m), m - (sum - one));
  const X s = (m - one) / sum;
  const X s_low = fma(-s, sum_low, fma(-s, sum, m - one)) / sum;
  const X z = s * s, z_low = fma(s + s, s_low, fma(s, s, -z));
  X tail;  // z/5 + z^2/7 + ...
  if constexpr (single) {
    tail = z * polynomial(z, X::constant(1.0 / 15), 1.0 / 13, 1.0 / 11, 1.0 / 9, 1.0 / 7, 1.0 / 5);
  } else {
    tail = z * polynomial(z, X::constant(1.0 / 29), 1.0 / 27, 1.0 / 25, 1.0 / 23, 1.0 / 21, 1.0 / 19, 1.0 / 17, 1.0 / 15,
                          1.0 / 13, 1.0 / 11, 1.0 / 9, 1.0 / 7, 1.0 / 5);
  }
  const X third = X::constant(1.0 / 3), third_low = X::constant(single ? -9.934107758624577e-09 : 1.850371707708594e-17);
  const X c = third + tail, c_low = (third - c) + tail + third_low;
  const X w = z * c, w_low = fma(z, c, -w) + fma(z, c_low, z_low * c);
  const X v = s * w, v_low = fma(s, w, -v) + fma(s, w_low, s_low * w);
  const X half = s + v, half_low = (s - half) + v + (s_low + v_low);
  const X whole = e * X::constant(single ? 0.693359375 : 6.93147180369123816490e-01);  // exact: ln 2 to 9 or 33 bits
  const X ln2_low = X::constant(single ? -2.121944400546905827679e-4 : 1.90821492927058770002e-10);
  const X high = whole + (half + half);
  return {high, (whole - high) + (half + half) + fma(e, ln2_low, half_low + half_low)};
}

/// |a|^b for finite |a| > 0: e^(b log|a|), the product in two words.
CALQUE_FORMULA power_of_magnitude(X magnitude, X b) {
  const X limit = X::constant(sizeof(typename X::Scalar) == 4 ? 200.0 : 1500.0);
  const TwoWords<X> logarithm = log_in_two_words(magnitude);
  const X product = b * logarithm.high;
  const X low = fma(b, logarithm.high, -product) + b * logarithm.low;
  return exp_of_sum(product, select(absolute(product) < limit, low, zero_of(b)));
}

/// As IEEE 754's pow: pow(x, 0) = pow(1, y) = 1, pow(-1, +-inf) = 1, NaN for a negative number to a power that is no
/// integer, signed zeros and infinities for odd integers. Error below 1.5 ulp for f32, 2 ulp for f64.
CALQUE_FORMULA float_power(X a, X b) {
  const X zero = zero_of(a), one = one_of(a), infinity = infinity_of(a), magnitude = absolute(a);
  const auto is_zero = a == zero, is_endless = magnitude == infinity, grows = b > zero;
  const X extreme = select(is_zero ^ grows, infinity, zero);
  X result = select(is_zero | is_endless, extreme, power_of_magnitude(magnitude, b));
  const X half = X::constant(0.5) * b;
  const auto is_integer = floor_of(b) == b, is_odd = is_integer & (floor_of(half) != half);
  result = select(is_odd, with_sign_of(result, a), result);
  const auto is_invalid = (a < zero) & !is_endless & !is_integer;
  result = select(is_invalid | (a != a) | (b != b), infinity - infinity, result);
  return select((b == zero) | (a == one) | ((magnitude == one) & (absolute(b) == infinity)), one, result);
}

/// By squaring, modulo 2^bits. A negative power is 1 / a^-b truncated: 1 or -1 of 1 and -1, else 0.
CALQUE_FORMULA integer_power(X a, X b) {
  const X zero = zero_of(a), one = one_of(a);
  X result = one, square = a;
  for (int bit = 0; bit < static_cast<int>(8 * sizeof(typename X::Scalar)) - 1; ++bit) {
    result = select((shift_right(b, bit) & one) != zero, result * square, result);
    square = square * square;
  }
  const X inverse = select(a == one, one, select(a == -one, select((b & one) != zero, a, one), zero));
  return select(b < zero, inverse, result);
}

CALQUE_FORMULA pow_formula(X a, X b) {
  if constexpr (is_float_engine<X>) return float_power(a, b);
  else return integer_power(a, b);
}

}  // namespace calque
