// Measures the errors of the scalar formulas in units in the last place, against libm in a wider format, and
// holds them to the bounds that ir/op/scalar/formulas.h states.
#include <catch2/catch.hpp>

#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

#include "ir/graph/interpret/scalar.h"
#include "tests/support/elementwise_oracle.h"
#include "tests/support/philox.h"

using namespace calque;
using namespace calque::test;

namespace {

template <class T>
using Wider = long double;
template <class T>
using Bits = std::conditional_t<sizeof(T) == 4, uint32_t, uint64_t>;

template <class T>
T run(const ScalarProgram& program, T x) {
  const ScalarBits argument = std::bit_cast<Bits<T>>(x);
  return std::bit_cast<T>(static_cast<Bits<T>>(run_program(program, {&argument, 1})));
}

/// Error in ulp of the exact result; below the smallest normal number the ulp is that of the subnormals.
template <class T>
double error_in_ulp(T y, Wider<T> exact) {
  using Limits = std::numeric_limits<T>;
  constexpr double wrong = std::numeric_limits<double>::infinity();
  if (std::isnan(exact) || std::isnan(y)) return std::isnan(exact) && std::isnan(y) ? 0 : wrong;
  if (std::isinf(exact) || std::isinf(y)) {
    // Infinity is right from half an ulp above the largest number on; one ulp is tolerated.
    const Wider<T> border =
        static_cast<Wider<T>>(Limits::max()) * (1 - static_cast<Wider<T>>(Limits::epsilon()));
    const bool right = static_cast<Wider<T>>(y) == exact || std::fabs(exact) > border;
    return right && std::signbit(y) == std::signbit(exact) ? 0 : wrong;
  }
  int exponent = 0;
  std::frexp(exact, &exponent);
  const int unit = std::max(exponent, Limits::min_exponent) - Limits::digits;
  return static_cast<double>(std::fabs(static_cast<Wider<T>>(y) - exact) / std::ldexp(Wider<T>(1), unit));
}

struct Worst {
  double error = 0, at = 0;
};

/// Every 10007th float.
template <class Use>
void for_samples(float, Use use) {
  constexpr uint64_t stride = 10007;
  for (uint64_t bits = 0; bits < uint64_t{1} << 32; bits += stride)
    use(std::bit_cast<float>(static_cast<uint32_t>(bits)));
}
/// 30,000 doubles of any bits, and as many each within 1, 20 and 750 of zero.
template <class Use>
void for_samples(double, Use use) {
  uint64_t state = 1;
  for (int i = 0; i < 30000; ++i) {
    state = state * 6364136223846793005u + 1442695040888963407u;  // Knuth, MMIX
    const uint64_t bits = state ^ state >> 29;
    use(std::bit_cast<double>(bits));
    for (double range : {1.0, 20.0, 750.0})
      use(std::ldexp(static_cast<double>(static_cast<int64_t>(bits)), -63) * range);
  }
}

/// The largest error of a row; of sigmoid, where its bound is stated.
template <class T>
Worst measure(const RoundedRow& entry) {
  constexpr DType dtype = dtype_of<T>;
  const ScalarProgram& program = scalar_program(entry.op, dtype, dtype);
  Worst worst;
  for_samples(T{}, [&](T x) {
    if (entry.op == Op::sigmoid && x < sigmoid_end(dtype)) return;
    const double error = error_in_ulp<T>(run(program, x), entry.exact(x, dtype));
    if (error > worst.error) worst = {error, x};
  });
  return worst;
}

template <class T>
void check_bound(const RoundedRow& entry) {
  const Worst worst = measure<T>(entry);
  INFO(row(entry.op).name << " " << name(dtype_of<T>) << " at " << worst.at);
  CHECK(worst.error < entry.ulps(dtype_of<T>));
  CHECK(worst.error > 0);  // something was measured
}

}  // namespace

TEST_CASE("every rounded row stays within its bound", "[formulas]") {
  for (const RoundedRow& entry : kRoundedRows) {
    check_bound<float>(entry);
    check_bound<double>(entry);
  }
}

TEST_CASE("sigmoid is 0 where e^-x overflows", "[formulas]") {
  CHECK(run(scalar_program(Op::sigmoid, DType::f32, DType::f32), -88.73f) == 0);
  CHECK(run(scalar_program(Op::sigmoid, DType::f64, DType::f64), -709.79) == 0);
}

TEST_CASE("normal quantiles stay within their bound over (0, 1)", "[formulas]") {
  const auto worst_of = [](auto first, auto count) {
    using T = decltype(first);
    const ScalarProgram& program = scalar_program(Op::ndtri, dtype_of<T>, dtype_of<T>);
    const Bits<T> one = std::bit_cast<Bits<T>>(T(1));
    Worst worst;
    for (int i = 1; i < count; ++i) {
      // Over the bits of all numbers below 1, which are mostly small, and evenly.
      const T numbers[] = {std::bit_cast<T>(static_cast<Bits<T>>(one / count * i + i % 7)), T(i) / T(count)};
      for (const T p : numbers) {
        const double error = error_in_ulp<T>(run(program, p), calque::test::normal_quantile(Wider<T>(p)));
        if (error > worst.error) worst = {error, static_cast<double>(p)};
      }
    }
    return worst;
  };
  const Worst single = worst_of(1.0f, 200001), wide = worst_of(1.0, 50001);
  INFO("f32 " << single.error << " at " << single.at << ", f64 " << wide.error << " at " << wide.at);
  CHECK(single.error < 8);
  CHECK(wide.error < 8);
  CHECK(single.error > 0);
  CHECK(wide.error > 0);
}

TEST_CASE("special values of the formulas", "[formulas]") {
  const float infinity = std::numeric_limits<float>::infinity(),
              nan = std::numeric_limits<float>::quiet_NaN();
  const float tiny = std::numeric_limits<float>::denorm_min();
  const auto f = [](Op op, float x) { return run(scalar_program(op, DType::f32, DType::f32), x); };
  const auto same = [](float a, float b) {
    return std::bit_cast<uint32_t>(a) == std::bit_cast<uint32_t>(b) || (std::isnan(a) && std::isnan(b));
  };
  CHECK(same(f(Op::exp, -infinity), 0.0f));
  CHECK(same(f(Op::exp, infinity), infinity));
  CHECK(same(f(Op::exp, -0.0f), 1.0f));
  CHECK(same(f(Op::exp, tiny), 1.0f));
  CHECK(same(f(Op::log, 0.0f), -infinity));
  CHECK(same(f(Op::log, -0.0f), -infinity));
  CHECK(same(f(Op::log, 1.0f), 0.0f));
  CHECK(same(f(Op::log, -1.0f), nan));
  CHECK(same(f(Op::log, infinity), infinity));
  CHECK(same(f(Op::log, tiny), std::log(tiny)));
  CHECK(same(f(Op::tanh, -0.0f), -0.0f));
  CHECK(same(f(Op::tanh, tiny), tiny));
  CHECK(same(f(Op::tanh, infinity), 1.0f));
  CHECK(same(f(Op::tanh, -infinity), -1.0f));
  CHECK(same(f(Op::sigmoid, infinity), 1.0f));
  CHECK(same(f(Op::sigmoid, -infinity), 0.0f));
  CHECK(same(f(Op::sqrt, -0.0f), -0.0f));
  CHECK(same(f(Op::sqrt, -1.0f), nan));
  CHECK(same(f(Op::rsqrt, 0.0f), infinity));
  CHECK(same(f(Op::ndtri, 0.0f), -infinity));
  CHECK(same(f(Op::ndtri, 1.0f), infinity));
  CHECK(same(f(Op::ndtri, 0.5f), 0.0f));
  CHECK(same(f(Op::ndtri, -tiny), nan));
  CHECK(same(f(Op::ndtri, 1.1f), nan));
  for (const RoundedRow& entry : kRoundedRows) {
    INFO(row(entry.op).name);
    CHECK(std::isnan(f(entry.op, nan)));
  }
  for (Op op : {Op::expm1, Op::log1p, Op::sin, Op::tan, Op::atan, Op::erf, Op::round, Op::ceil, Op::trunc, Op::sign}) {
    INFO(row(op).name);
    CHECK(same(f(op, -0.0f), -0.0f));
    CHECK(same(f(op, 0.0f), 0.0f));
  }
}
