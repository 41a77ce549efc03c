// Random numbers: the published answers, distributions, and states that are counted, saved and set.
#include "calque/random.h"

#include <catch2/catch.hpp>

#include <algorithm>
#include <cmath>
#include <thread>

#include "calque/nn/random.h"
#include "runtime/dispatch.h"
#include "tests/support/numbers_of.h"
#include "tests/support/philox.h"

using namespace calque;
using namespace calque::test;

namespace {

/// Pearson's statistic for equally likely classes.
double chi_square(const std::vector<int64_t>& classes, int64_t count) {
  std::vector<double> seen(count);
  for (int64_t k : classes) ++seen.at(k);
  const double expected = static_cast<double>(classes.size()) / static_cast<double>(count);
  double total = 0;
  for (double n : seen) total += (n - expected) * (n - expected) / expected;
  return total;
}

/// The statistic of k classes has mean k - 1 and variance 2 (k - 1): within five deviations, on either side.
bool is_plausible(double statistic, int64_t classes) {
  const double freedom = static_cast<double>(classes - 1);
  return std::fabs(statistic - freedom) < 5 * std::sqrt(2 * freedom);
}

struct Moments {
  double mean = 0, variance = 0, skewness = 0, kurtosis = 0;
};
Moments moments_of(const std::vector<double>& values) {
  const double n = static_cast<double>(values.size());
  Moments m;
  for (double x : values) m.mean += x / n;
  double third = 0, fourth = 0;
  for (double x : values) {
    const double d = x - m.mean;
    m.variance += d * d / n;
    third += d * d * d / n;
    fourth += d * d * d * d / n;
  }
  m.skewness = third / std::pow(m.variance, 1.5);
  m.kurtosis = fourth / (m.variance * m.variance);
  return m;
}

/// Correlation of each value with the one `lag` further on.
double correlation(const std::vector<double>& values, size_t lag) {
  const Moments m = moments_of(values);
  double total = 0;
  for (size_t i = 0; i + lag < values.size(); ++i) total += (values[i] - m.mean) * (values[i + lag] - m.mean);
  return total / m.variance / static_cast<double>(values.size() - lag);
}

}  // namespace

TEST_CASE("the reference Philox gives the published answers", "[random]") {  // kat_vectors of Random123
  using Words = std::array<uint32_t, 4>;
  constexpr uint32_t kOnes = 0xffffffff;
  CHECK(philox4x32({0, 0, 0, 0}, {0, 0}) == Words{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8});
  CHECK(philox4x32({kOnes, kOnes, kOnes, kOnes}, {kOnes, kOnes}) ==
        Words{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd});
  CHECK(philox4x32({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}) ==
        Words{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1});
}

TEST_CASE("the row philox is the reference, for keys and counters of any bits", "[random]") {
  CHECK(philox(from_value<int64_t>(0), from_value<int64_t>(0)).to_vector<int64_t>()[0] ==
        static_cast<int64_t>(0xe169c58d6627e8d5 >> 11));
  std::vector<int64_t> keys, counters, expected;
  uint64_t state = 1;
  for (int i = 0; i < 5000; ++i) {
    for (std::vector<int64_t>* list : {&keys, &counters}) {
      state = state * 6364136223846793005u + 1442695040888963407u;
      list->push_back(static_cast<int64_t>(state ^ state >> 31));
    }
    expected.push_back(philox53(keys.back(), counters.back()));
  }
  CHECK(philox(from_vector(keys), from_vector(counters)).to_vector<int64_t>() == expected);
  CHECK_THROWS_AS(philox(ones({1}), ones({1})), UserError);
}

TEST_CASE("element i has the counter + i, whatever the shape", "[random]") {
  const auto state = [](int64_t counter) { return from_vector<int64_t>({42, counter}); };
  const std::vector<double> line = rand(state(5), {2000}, DType::f64).to_vector<double>();
  for (size_t i = 0; i < line.size(); ++i)
    REQUIRE(line[i] == static_cast<double>(philox53(42, 5 + static_cast<int64_t>(i))) * 0x1p-53);
  for (const Shape& shape : {Shape{40, 50}, Shape{10, 4, 50}, Shape{2000, 1}, Shape{1, 2000}})
    CHECK(rand(state(5), shape, DType::f64).to_vector<double>() == line);
  CHECK(rand(state(105), {1}, DType::f64).item() == line[100]);
  CHECK(rand(state(6), {}, DType::f64).item() == line[1]);
}

TEST_CASE("uniform numbers are uniform", "[random]") {
  Generator generator(7);
  constexpr int64_t kCount = 200000, kClasses = 256;
  for (DType dtype : {DType::f32, DType::f64}) {
    const std::vector<double> values = numbers_of(rand({kCount}, dtype, generator));
    const Moments m = moments_of(values);
    CHECK(*std::min_element(values.begin(), values.end()) >= 0);
    CHECK(*std::max_element(values.begin(), values.end()) < 1);
    CHECK(m.mean == Approx(0.5).margin(5 * std::sqrt(1.0 / 12 / kCount)));
    CHECK(m.variance == Approx(1.0 / 12).margin(0.001));
    for (size_t lag : {1, 2, 4, 64, 1000})
      CHECK(std::fabs(correlation(values, lag)) < 5 / std::sqrt(double(kCount)));
    std::vector<int64_t> highest, lowest;  // bits of the result
    for (double x : values) {
      highest.push_back(static_cast<int64_t>(x * kClasses));
      lowest.push_back(static_cast<int64_t>(x * 0x1p24) % kClasses);
    }
    CHECK(is_plausible(chi_square(highest, kClasses), kClasses));
    CHECK(is_plausible(chi_square(lowest, kClasses), kClasses));
  }
}

TEST_CASE("normal numbers are normal", "[random]") {
  Generator generator(8);
  constexpr int64_t kCount = 200000, kClasses = 100;
  for (DType dtype : {DType::f32, DType::f64}) {
    const std::vector<double> values = numbers_of(randn({kCount / 100, 100}, dtype, generator));
    const Moments m = moments_of(values);
    CHECK(m.mean == Approx(0).margin(5 / std::sqrt(double(kCount))));
    CHECK(m.variance == Approx(1).margin(5 * std::sqrt(2.0 / kCount)));
    CHECK(m.skewness == Approx(0).margin(5 * std::sqrt(6.0 / kCount)));
    CHECK(m.kurtosis == Approx(3).margin(5 * std::sqrt(24.0 / kCount)));
    std::vector<int64_t> classes;
    for (double x : values)
      classes.push_back(
          std::min(kClasses - 1, static_cast<int64_t>(std::erfc(-x / std::sqrt(2.0)) / 2 * kClasses)));
    CHECK(is_plausible(chi_square(classes, kClasses), kClasses));
  }
}

TEST_CASE("random integers are within their range, and equally likely", "[random]") {
  Generator generator(9);
  std::vector<int64_t> values = randint(-3, 10, {130000}, generator).to_vector<int64_t>();
  CHECK(*std::min_element(values.begin(), values.end()) == -3);
  CHECK(*std::max_element(values.begin(), values.end()) == 9);
  for (int64_t& x : values) x += 3;
  CHECK(is_plausible(chi_square(values, 13), 13));
  CHECK(randint(5, 6, {3}, generator).to_vector<int64_t>() == std::vector<int64_t>{5, 5, 5});
  CHECK_THROWS_AS(randint(5, 5, {3}, generator), UserError);
  CHECK_THROWS_AS(randint(0, (int64_t{1} << 52) + 1, {3}, generator), UserError);
}

TEST_CASE("dropout keeps 1 - p of the elements, and the mean", "[random]") {
  Generator generator(10);
  constexpr int64_t kCount = 100000;
  for (double p : {0.1, 0.5, 0.9}) {
    const std::vector<float> values = dropout(ones({kCount}), p, true, generator).to_vector<float>();
    const auto kept = std::count_if(values.begin(), values.end(), [](float x) { return x != 0; });
    CHECK(static_cast<double>(kept) == Approx((1 - p) * kCount).margin(5 * std::sqrt(p * (1 - p) * kCount)));
    for (float x : values) REQUIRE((x == 0 || x == static_cast<float>(1 / (1 - p))));
  }
  const Tensor x = ones({5});
  CHECK(dropout(x, 0.5, false, generator).is_same(x));
  CHECK(dropout(x, 0, true, generator).is_same(x));
  CHECK(dropout(x, 1, true, generator).to_vector<float>() == std::vector<float>(5, 0));
  CHECK_THROWS_AS(dropout(x, 1.1, true, generator), UserError);
  CHECK_THROWS_AS(dropout(x, NAN, false, generator), UserError);
  CHECK_THROWS_AS(dropout(arange(3), 0.5, true, generator), UserError);
}

TEST_CASE("a generator counts: what was drawn is not drawn again, and a saved state goes on", "[random]") {
  Generator generator(11);
  const std::vector<double> all = rand({30}, DType::f64, generator).to_vector<double>();
  generator.manual_seed(11);
  std::vector<double> parts = rand({10}, DType::f64, generator).to_vector<double>();
  const Tensor saved = generator.state();
  CHECK(saved.to_vector<int64_t>() == std::vector<int64_t>{11, 10});
  const std::vector<double> rest = rand({4, 5}, DType::f64, generator).to_vector<double>();
  parts.insert(parts.end(), rest.begin(), rest.end());
  CHECK(parts == all);
  Generator other;
  other.set_state(saved);
  CHECK(rand({4, 5}, DType::f64, other).to_vector<double>() == rest);
  CHECK_THROWS_AS(other.set_state(ones({2})), UserError);
  CHECK_THROWS_AS(other.set_state(arange(3)), UserError);
  // What throws draws nothing.
  const std::vector<int64_t> before = other.state().to_vector<int64_t>();
  CHECK_THROWS_AS(rand({3}, DType::i64, other), UserError);
  CHECK(other.state().to_vector<int64_t>() == before);
}

TEST_CASE("manual_seed sets the generator of everything that names none", "[random]") {
  const auto draw = [] {
    std::vector<float> values = rand({3}).to_vector<float>();
    for (const Tensor& x : {randn({3}), dropout(ones({64}), 0.5), nn::normal({3}), nn::xavier(2, 2)})
      for (float value : x.to_vector<float>()) values.push_back(value);
    return values;
  };
  manual_seed(12);
  const std::vector<float> first = draw(), second = draw();
  CHECK(first != second);
  manual_seed(12);
  CHECK(draw() == first);
  CHECK(draw() == second);
  manual_seed(13);
  CHECK(draw() != first);
}

TEST_CASE("threads that draw from one generator share its numbers out", "[random]") {
  Generator generator(14);
  std::vector<double> expected = rand({8 * 100}, DType::f64, generator).to_vector<double>(), got;
  generator.manual_seed(14);
  std::vector<std::vector<double>> parts(8);
  std::vector<std::thread> threads;
  for (std::vector<double>& part : parts)
    threads.emplace_back([&] {
      for (int i = 0; i < 20; ++i)
        for (double x : rand({5}, DType::f64, generator).to_vector<double>()) part.push_back(x);
    });
  for (std::thread& thread : threads) thread.join();
  for (const std::vector<double>& part : parts) got.insert(got.end(), part.begin(), part.end());
  std::sort(expected.begin(), expected.end());
  std::sort(got.begin(), got.end());
  CHECK(got == expected);
}
