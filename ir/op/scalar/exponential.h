// What is made of exp and log: expm1, log1p, softplus, erf. Included by formulas.h.
#pragma once

namespace calque {

/// e^x - 1 = 2^n (fraction + 1) - 1, which keeps its small numbers small. Error below 1.6 ulp for f32, 2 ulp for f64.
CALQUE_FORMULA expm1_formula(X x) {
  using Format = FloatFormat<typename X::Scalar>;
  constexpr bool single = sizeof(typename X::Scalar) == 4;
  const X highest = X::constant(single ? 89.0 : 710.0), lowest = X::constant(single ? -30.0 : -45.0);
  const X inside = select(x > highest, highest, select(x < lowest, lowest, x));
  const ExpParts<X> parts = exp_parts(inside);
  using Integer = decltype(bits(x));
  // Half of it first: 2^n itself overflows one step before the result does.
  const Integer biased = parts.whole + Integer::constant(Format::kBias - 1);
  const X half_scale = X::from_bits(shift_left(biased, Format::kMantissaBits));
  const X half = fma(half_scale, parts.fraction, half_scale - X::constant(0.5));
  const X result = select(parts.whole == zero_of(parts.whole), parts.fraction, half + half);
  return select((x == zero_of(x)) | (x != x), x, result);  // -0 keeps its sign
}

/// log(1 + x) = log(u) + c / u, where u is 1 + x rounded and c what rounding took away (Kahan; HP-15C handbook, 1982). Error
/// below 2 ulp. log1p(-1) = -inf, NaN below.
CALQUE_FORMULA log1p_formula(X x) {
  const X one = one_of(x);
  const X u = one + x, lost = x - (u - one);
  const X whole = log_formula(u);
  const auto has_rest = (x > -one) & (x < X::constant(1e30));
  return select(x == zero_of(x), x, select(has_rest, whole + lost / u, whole));
}

/// log(1 + e^x) = max(x, 0) + log1p(e^-|x|). Error below 3 ulp.
CALQUE_FORMULA softplus_formula(X x) {
  return maximum_formula(x, zero_of(x)) + log1p_formula(exp_formula(-absolute(x)));
}

/// For |x| <= 1 x T(x^2) / U(x^2), else 1 - e^-x^2 P(|x|) / Q(|x|) with the sign of x (Moshier, Cephes ndtr). Error below
/// 3 ulp.
CALQUE_FORMULA erf_formula(X x) {
  const X z = x * x;
  const X t = polynomial(z, X::constant(9.60497373987051638749e0), 9.00260197203842689217e1, 2.23200534594684319226e3,
                         7.00332514112805075473e3, 5.55923013010394962768e4);
  const X u = polynomial(z, one_of(x), 3.35617141647503099647e1, 5.21357949780152679795e2, 4.59432382970980127987e3,
                         2.26290000613890934246e4, 4.92673942608635921086e4);
  const X m = select(absolute(x) > X::constant(8.0), X::constant(8.0), absolute(x));
  const X p = polynomial(m, X::constant(2.46196981473530512524e-10), 5.64189564831068821977e-1, 7.46321056442269912687e0,
                         4.86371970985681366614e1, 1.96520832956077098242e2, 5.26445194995477358631e2,
                         9.34528527171957607540e2, 1.02755188689515710272e3, 5.57535335369399327526e2);
  const X q = polynomial(m, one_of(x), 1.32281951154744992508e1, 8.67072140885989742329e1, 3.54937778887819891062e2,
                         9.75708501743205489753e2, 1.82390916687909736289e3, 2.24633760818710981792e3,
                         1.65666309194161350182e3, 5.57535340817727675546e2);
  const X large = one_of(x) - exp_formula(-(m * m)) * (p / q);
  return select(m < one_of(x), x * (t / u), with_sign_of(large, x));
}

}  // namespace calque
