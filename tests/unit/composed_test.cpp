// Functions composed of ops: shapes, parts and ranges, as NumPy gives them.
#include <catch2/catch.hpp>

#include "calque/ops.h"

using namespace calque;

namespace {
using Values = std::vector<int64_t>;
Values values(const Tensor& x) { return cast(x, DType::i64).to_vector<int64_t>(); }
}  // namespace

TEST_CASE("slices with steps follow Python", "[composed]") {
  const int64_t n = 7;
  const Tensor x = arange(n);
  const auto python = [&](int64_t start, int64_t stop, int64_t step) {
    Values expected;
    if (start < 0) start = std::max<int64_t>(start + n, step > 0 ? 0 : -1);
    if (stop < 0) stop = std::max<int64_t>(stop + n, -1);
    start = std::min<int64_t>(start, step > 0 ? n : n - 1);
    for (int64_t i = start; step > 0 ? i < std::min(stop, n) : i > stop; i += step) expected.push_back(i);
    return expected;
  };
  for (int64_t start : {-9, -7, -3, 0, 2, 6, 7, 9})
    for (int64_t stop : {-9, -8, -4, 0, 3, 7, 8})
      for (int64_t step : {1, 2, 3, 10, -1, -2, -5}) {
        INFO(start << ":" << stop << ":" << step);
        CHECK(values(slice(x, 0, start, stop, step)) == python(start, stop, step));
      }
  CHECK_THROWS_AS(slice(x, 0, 0, 7, 0), UserError);
  CHECK(slice(arange(12), 0, 1, 12, 4).shape() == Shape{3});
}

TEST_CASE("every is a view: a write through the base is seen", "[composed]") {
  Tensor x = cast(arange(6), DType::f32);
  const Tensor y = every(x, 0, 2);
  x.mutable_data<float>()[4] = 40;
  CHECK(values(y) == Values{0, 2, 40});
}

TEST_CASE("squeeze and flatten", "[composed]") {
  const Tensor x = zeros({1, 3, 1, 2});
  CHECK(squeeze(x).shape() == Shape{3, 2});
  CHECK(squeeze(x, {0}).shape() == Shape{3, 1, 2});
  CHECK(squeeze(x, {0, -2}).shape() == Shape{3, 2});
  CHECK_THROWS_AS(squeeze(x, {1}), UserError);
  CHECK(flatten(x).shape() == Shape{6});
  CHECK(flatten(x, 1, 2).shape() == Shape{1, 3, 2});
  CHECK(flatten(zeros({})).shape() == Shape{1});
}

TEST_CASE("chunk gives pieces of one size but the last", "[composed]") {
  const std::vector<Tensor> pieces = chunk(arange(7), 3);
  REQUIRE(pieces.size() == 3);
  CHECK(values(pieces[0]) == Values{0, 1, 2});
  CHECK(values(pieces[2]) == Values{6});
  CHECK(chunk(arange(2), 5).size() == 2);
  CHECK(chunk(zeros({0}), 3).size() == 1);
  CHECK_THROWS_AS(chunk(arange(3), 0), UserError);
}

TEST_CASE("ranges", "[composed]") {
  CHECK(arange(0.0, 1.0, 0.25).to_vector<float>() == std::vector<float>{0, 0.25, 0.5, 0.75});
  CHECK(arange(5.0, 0.0, -2.0).to_vector<float>() == std::vector<float>{5, 3, 1});
  CHECK(arange(1.0, 0.0, 1.0).element_count() == 0);
  CHECK_THROWS_AS(arange(0.0, 1.0, 0.0), UserError);
  CHECK(linspace(0, 1, 5).to_vector<float>() == std::vector<float>{0, 0.25, 0.5, 0.75, 1});
  CHECK(linspace(-1, 0.1, 7, DType::f64).to_vector<double>().back() == 0.1);
  CHECK(linspace(3, 4, 1).to_vector<float>() == std::vector<float>{3});
  CHECK(values(eye(2, 3)) == Values{1, 0, 0, 0, 1, 0});
  CHECK(eye(4).shape() == Shape{4, 4});
  CHECK(values(full_like(eye(2), 7)) == Values{7, 7, 7, 7});
}

TEST_CASE("argmax and argmin of all elements; take along an axis", "[composed]") {
  const Tensor x = from_vector<double>({3, 9, -2, 5, 9, 0}, {2, 3});
  CHECK(argmax(x).item() == 1);
  CHECK(argmin(x).item() == 2);
  CHECK(take(x, from_vector<int64_t>({2, 0}), 1).to_vector<double>() == std::vector<double>{-2, 3, 0, 5});
}

TEST_CASE("batches of matrices, and what does not fit", "[composed]") {
  CHECK(matmul(zeros({2, 1, 3, 4}), zeros({5, 4, 6})).shape() == Shape{2, 5, 3, 6});
  CHECK_THROWS_AS(matmul(zeros({2, 3, 4}), zeros({3, 4, 6})), UserError);
  CHECK_THROWS_AS(matmul(zeros({4}), zeros({4, 6})), UserError);
  CHECK_THROWS_AS(matmul(zeros({2, 3, 4}), zeros({2, 5, 6})), UserError);
}

TEST_CASE("an index out of range is refused by every op that reads indices", "[composed]") {
  const Tensor x = zeros({3, 2}), bad = from_vector<int64_t>({0, 3, 0, 0}, {2, 2}), negative = from_vector<int64_t>({-1, 0}, {1, 2});
  CHECK_THROWS_AS(gather(x, bad, 0), UserError);
  CHECK_THROWS_AS(gather(x, negative, 0), UserError);
  CHECK_THROWS_AS(scatter_add(slice(x, 0, 0, 2), bad, 0, 3), UserError);
  CHECK_THROWS_AS(index_select(x, from_vector<int64_t>({2}), 1), UserError);
  CHECK_THROWS_AS(gather(x, from_vector<int64_t>({0}), 0), UserError);
}
