// The scalar formulas of random numbers: a counter-based generator and the normal quantile.
#pragma once

#include "ir/op/scalar/formulas.h"

namespace calque {

#define CALQUE_FORMULA \
  template <class X>   \
  [[gnu::always_inline]] static inline X

/// Philox4x32-10 (Salmon, Moraes, Dror, Shaw: Parallel random numbers: as easy as 1, 2, 3. SC 2011). Leaves
/// the block of the counter {c0, c1, c2, c3} under the key {k0, k1} in c0 to c3. Words are the lower halves
/// of i64; what is in the upper halves does not matter.
template <class X>
[[gnu::always_inline]] static inline void philox_block(X& c0, X& c1, X& c2, X& c3, X k0, X k1) {
  const X m0 = X::constant(0xD2511F53), m1 = X::constant(0xCD9E8D57);
  const X w0 = X::constant(0x9E3779B9), w1 = X::constant(0xBB67AE85);  // the golden ratio; sqrt(3) - 1
  for (int round = 0; round < 10; ++round) {
    const X p0 = multiply_halves(c0, m0), p1 = multiply_halves(c2, m1);
    c0 = shift_right_logical(p1, 32) ^ c1 ^ k0;
    c2 = shift_right_logical(p0, 32) ^ c3 ^ k1;
    c1 = p1;
    c3 = p0;
    k0 = k0 + w0;
    k1 = k1 + w1;
  }
}

/// 53 bits of the block of the 64-bit counter under the 64-bit key: its first two words, less their lowest 11
/// bits.
CALQUE_FORMULA philox_formula(X key, X counter) {
  X c0 = counter, c1 = shift_right_logical(counter, 32), c2 = zero_of(counter), c3 = zero_of(counter);
  philox_block(c0, c1, c2, c3, key, shift_right_logical(key, 32));
  const X low = c0 & X::constant(0xFFFFFFFF);
  return shift_right_logical(low | shift_left(c1, 32), 11);
}

/// The quantile of the standard normal distribution (Wichura: Algorithm AS 241. Applied Statistics 37, 1988;
/// PPND7 for f32, PPND16 for f64). Error below 8 ulp. -inf at 0, inf at 1, NaN outside of [0, 1].
CALQUE_FORMULA ndtri_formula(X p) {
  constexpr bool single = sizeof(typename X::Scalar) == 4;
  const X q = p - X::constant(0.5), z = X::constant(0.180625) - q * q;
  const X tail = select(p < X::constant(0.5), p, one_of(p) - p);
  const X r = square_root(-log_formula(tail)), s = r - X::constant(1.6), t = r - X::constant(5.0);
  X a, b, c, d, e, f;  // the centre a / b, the shoulders c / d, the tails e / f
  if constexpr (single) {
    a = polynomial(z, X::constant(5.9109374720e1), 1.5929113202e2, 5.0434271938e1, 3.3871327179e0);
    b = polynomial(z, X::constant(6.7187563600e1), 7.8757757664e1, 1.7895169469e1, 1.0);
    c = polynomial(s, X::constant(1.7023821103e-1), 1.3067284816e0, 2.7568153900e0, 1.4234372777e0);
    d = polynomial(s, X::constant(1.2021132975e-1), 7.3700164250e-1, 1.0);
    e = polynomial(t, X::constant(1.7337203997e-2), 4.2868294337e-1, 3.0812263860e0, 6.6579051150e0);
    f = polynomial(t, X::constant(1.2258202635e-2), 2.4197894225e-1, 1.0);
  } else {
    a = polynomial(z, X::constant(2.5090809287301226727e3), 3.3430575583588128105e4, 6.7265770927008700853e4,
                   4.5921953931549871457e4, 1.3731693765509461125e4, 1.9715909503065514427e3,
                   1.3314166789178437745e2, 3.3871328727963666080e0);
    b = polynomial(z, X::constant(5.2264952788528545610e3), 2.8729085735721942674e4, 3.9307895800092710610e4,
                   2.1213794301586595867e4, 5.3941960214247511077e3, 6.8718700749205790830e2,
                   4.2313330701600911252e1, 1.0);
    c = polynomial(s, X::constant(7.74545014278341407640e-4), 2.27238449892691845833e-2,
                   2.41780725177450611770e-1, 1.27045825245236838258e0, 3.64784832476320460504e0,
                   5.76949722146069140550e0, 4.63033784615654529590e0, 1.42343711074968357734e0);
    d = polynomial(s, X::constant(1.05075007164441684324e-9), 5.47593808499534494600e-4,
                   1.51986665636164571966e-2, 1.48103976427480074590e-1, 6.89767334985100004550e-1,
                   1.67638483018380384940e0, 2.05319162663775882187e0, 1.0);
    e = polynomial(t, X::constant(2.01033439929228813265e-7), 2.71155556874348757815e-5,
                   1.24266094738807843860e-3, 2.65321895265761230930e-2, 2.96560571828504891230e-1,
                   1.78482653991729133580e0, 5.46378491116411436990e0, 6.65790464350110377720e0);
    f = polynomial(t, X::constant(2.04426310338993978564e-15), 1.42151175831644588870e-7,
                   1.84631831751005468180e-5, 7.86869131145613259100e-4, 1.48753612908506148525e-2,
                   1.36929880922735805310e-1, 5.99832206555887937690e-1, 1.0);
  }
  const auto central = (q <= X::constant(0.425)) & (q >= X::constant(-0.425)), near = r <= X::constant(5.0);
  const X ratio = select(central, a, select(near, c, e)) / select(central, b, select(near, d, f));
  const X finite = select(central, q * ratio, select(q < zero_of(p), -ratio, ratio));
  const X infinity = one_of(p) / zero_of(p);
  return select(p == zero_of(p), -infinity, select(p == one_of(p), infinity, finite));
}

#undef CALQUE_FORMULA

}  // namespace calque
