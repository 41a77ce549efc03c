// Angles and their sines. Included by formulas.h.
#pragma once

namespace calque {

/// Sine and cosine of what is left of an angle, and in which quarter it lies.
template <class X>
struct Rotation {
  X sine, cosine;
  decltype(bits(X{})) quarter;
};

/// x - n pi/2 in [-pi/4, pi/4], pi/2 in three words (Cody and Waite 1980), then Moshier's
/// polynomials (Cephes sinf, cosf, sin, cos). Holds to |x| = 6.5e6 for f32 and 2e15 for f64, where neighbouring numbers lie a
/// quarter to half a radian apart; from there on the angle counts as 0. NaN for infinities.
template <class X>
[[gnu::always_inline]] static inline Rotation<X> rotation(X x) {
  constexpr bool single = sizeof(typename X::Scalar) == 4;
  x = select(absolute(x) < X::constant(single ? 6.5e6 : 2e15), x, x - x);
  const X magic = X::constant(FloatFormat<typename X::Scalar>::kRoundingMagic);
  // n is x 2/pi rounded, in two steps: for large x the rounding of 2/pi counts.
  const X inverse = X::constant(0.63661977236758134308), inverse_low = X::constant(single ? 2.568255326690366e-08 : -3.935735335036497e-17);
  const X nearly = fma(x, inverse, magic) - magic;
  const X n = nearly + ((fma(x, inverse_low, fma(x, inverse, -nearly)) + magic) - magic);
  const X shifted = n + magic;
  const X second = X::constant(single ? -4.371138828673793e-08 : 6.123233995736766e-17);
  const X third = X::constant(single ? -1.7151245100058819e-15 : -1.4973849048591698e-33);
  const X rest = fma(-n, X::constant(single ? 1.5707963705062866 : 1.5707963267948966), x);  // exact
  // The second word's product and its difference from the rest, each with what its rounding lost (Dekker 1971, Knuth).
  const X product = n * second, product_low = fma(n, second, -product);
  const X difference = rest - product, moved = difference - rest;
  const X lost = (rest - (difference - moved)) - (product + moved);
  const X r = difference + fma(-n, third, lost - product_low);
  const X z = r * r;
  X sine, cosine;
  if constexpr (single) {
    sine = polynomial(z, X::constant(-1.9515295891e-4), 8.3321608736e-3, -1.6666654611e-1);
    cosine = polynomial(z, X::constant(2.443315711809948e-5), -1.388731625493765e-3, 4.166664568298827e-2);
  } else {
    sine = polynomial(z, X::constant(1.58962301576546568060e-10), -2.50507477628578072866e-8, 2.75573136213857245213e-6,
                      -1.98412698295895385996e-4, 8.33333333332211858878e-3, -1.66666666666666307295e-1);
    cosine = polynomial(z, X::constant(-1.13585365213876817300e-11), 2.08757008419747316778e-9,
                        -2.75573141792967388112e-7, 2.48015872888517045348e-5, -1.38888888888730564116e-3,
                        4.16666666666665929218e-2);
  }
  return {fma(sine * z, r, r), fma(cosine, z * z, fma(X::constant(-0.5), z, one_of(x))), bits(shifted) - bits(magic)};
}

/// The sine after so many more quarters of a turn.
template <class X>
[[gnu::always_inline]] static inline X turned(const Rotation<X>& r, int quarters) {
  using Integer = decltype(r.quarter);
  const Integer quarter = r.quarter + Integer::constant(quarters), one = Integer::constant(1), two = Integer::constant(2);
  const X value = select((quarter & one) == one, r.cosine, r.sine);
  return select((quarter & two) == two, -value, value);
}

/// Error below 1.7 ulp.
CALQUE_FORMULA sin_formula(X x) { return select(x == zero_of(x), x, turned(rotation(x), 0)); }
CALQUE_FORMULA cos_formula(X x) { return turned(rotation(x), 1); }

/// sin / cos. Error below 4 ulp.
CALQUE_FORMULA tan_formula(X x) {
  const Rotation<X> r = rotation(x);
  return select(x == zero_of(x), x, turned(r, 0) / turned(r, 1));
}

/// atan of t in [-tan(pi/8), tan(pi/8)] (Moshier, Cephes atanf, atan).
CALQUE_FORMULA small_arctangent(X t) {
  const X z = t * t;
  if constexpr (sizeof(typename X::Scalar) == 4) {
    const X p = polynomial(z, X::constant(8.05374449538e-2), -1.38776856032e-1, 1.99777106478e-1, -3.33329491539e-1);
    return fma(p * z, t, t);
  } else {
    const X p = polynomial(z, X::constant(-8.750608600031904122785e-1), -1.615753718733365076637e1,
                           -7.500855792314704667340e1, -1.228866684490136173410e2, -6.485021904942025371773e1);
    const X q = polynomial(z, one_of(t), 2.485846490142306297962e1, 1.650270098316988542046e2, 4.328810604912902668951e2,
                           4.853903996359136964868e2, 1.945506571482613964425e2);
    return fma(p / q * z, t, t);
  }
}

/// `part` of pi, which is a power of two, plus the angle; pi in two words.
template <class X>
[[gnu::always_inline]] static inline X turned_by(double part, X angle) {
  const double low = sizeof(typename X::Scalar) == 4 ? -8.742277657347586e-08 : 1.2246467991473532e-16;
  return X::constant(part * 3.14159265358979323846) + (X::constant(part * low) + angle);
}

/// The angle of the point (b, a) from the ratio of its smaller to its larger coordinate, turned into its octant; signs of
/// zeros count as in C's atan2. Error below 3.5 ulp.
CALQUE_FORMULA atan2_formula(X a, X b) {
  const X zero = zero_of(a), one = one_of(a), up = absolute(a), along = absolute(b);
  const auto is_steep = up > along;
  const X larger = select(is_steep, up, along), smaller = select(is_steep, along, up);
  const X ratio = select(larger == zero, zero, select(smaller == infinity_of(a), one, smaller / larger));
  const auto is_wide = ratio > X::constant(0.41421356237309504880);  // tan(pi/8)
  const X t = select(is_wide, (ratio - one) / (ratio + one), ratio);
  X angle = small_arctangent(t);
  angle = select(is_wide, turned_by(0.25, angle), angle);
  angle = select(is_steep, turned_by(0.5, -angle), angle);
  using Integer = decltype(bits(b));
  const auto is_behind = bits(b) < Integer::constant(0);
  angle = select(is_behind, turned_by(1.0, -angle), angle);
  return select((a != a) | (b != b), a + b, with_sign_of(angle, a));
}

}  // namespace calque
