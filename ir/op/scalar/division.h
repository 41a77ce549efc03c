// Rounding to integers, and division with a whole quotient; total for every operand. Included by formulas.h.
#pragma once

namespace calque {

CALQUE_FORMULA floor_formula(X x) {
  if constexpr (is_float_engine<X>) return floor_of(x);
  else return x;
}

CALQUE_FORMULA trunc_formula(X x) {
  if constexpr (is_float_engine<X>) return select(x < zero_of(x), -floor_of(-x), floor_of(x));
  else return x;
}

/// To the nearest integer, ties to the even one: adding and taking away a number whose unit in the last place is 1.
CALQUE_FORMULA round_formula(X x) {
  if constexpr (is_float_engine<X>) {
    const X magic = X::constant(sizeof(typename X::Scalar) == 4 ? 8388608.0 : 4503599627370496.0);
    const X magnitude = absolute(x);
    return with_sign_of(select(magnitude < magic, (magnitude + magic) - magic, magnitude), x);
  } else {
    return x;
  }
}

template <class X>
struct Division {
  X quotient, remainder;
};

/// a / b rounded down and what is left of a, as Python's // and %. The quotient of floats is exact up to 2^24 (f32) and 2^53
/// (f64); beyond, it is a / b rounded to nearest and the remainder is 0. a / 0 is +-inf or NaN, its remainder NaN.
template <class X>
[[gnu::always_inline]] static inline Division<X> float_division(X a, X b) {
  const X zero = zero_of(a), one = one_of(a), infinity = infinity_of(a);
  const X q = floor_of(a / b), r = fma(-q, b, a);
  // a / b was rounded before the floor, perhaps up to a whole number above it; then r is exact and has the wrong sign.
  const X limit = X::constant(sizeof(typename X::Scalar) == 4 ? 16777216.0 : 9007199254740992.0);
  const auto settled = (absolute(q) < limit) & (r == r);
  const auto above = settled & (r != zero) & ((r < zero) ^ (b < zero));
  const X rest = select(above, r + b, r);
  const X nothing = (a - a) / b;  // zero with the sign of b; NaN where a is infinite or b is zero
  // Of a finite a, an infinite b of the same sign leaves all, and one of the other sign is taken away once.
  const auto endless = (absolute(b) == infinity) & (a - a == zero);
  const auto opposite = (a != zero) & ((a < zero) ^ (b < zero));
  const X finite_quotient = select(above, q - one, q);
  const X finite_remainder = select(settled & (rest != zero), rest, nothing);
  return {select(endless, select(opposite, -one, a / b), finite_quotient),
          select(endless, select(opposite, b, select(a == zero, nothing, a)), finite_remainder)};
}

/// The same of integers: a / 0 is 0 with remainder a, lowest / -1 is lowest with remainder 0.
template <class X>
[[gnu::always_inline]] static inline Division<X> integer_division(X a, X b) {
  const X zero = zero_of(a), one = one_of(a);
  const auto by_nothing = b == zero, by_minus_one = b == -one;
  const X divisor = select(by_nothing | by_minus_one, one, b);
  const X q = a / divisor, r = a - q * divisor;
  const auto above = (r != zero) & ((r < zero) ^ (divisor < zero));
  const X quotient = select(above, q - one, q), remainder = select(above, r + divisor, r);
  return {select(by_nothing, zero, select(by_minus_one, -a, quotient)), select(by_nothing, a, remainder)};
}

template <class X>
[[gnu::always_inline]] static inline Division<X> floored_division(X a, X b) {
  if constexpr (is_float_engine<X>) return float_division(a, b);
  else return integer_division(a, b);
}
CALQUE_FORMULA floor_divide_formula(X a, X b) { return floored_division(a, b).quotient; }
CALQUE_FORMULA remainder_formula(X a, X b) { return floored_division(a, b).remainder; }

}  // namespace calque
