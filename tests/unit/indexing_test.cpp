// x[...]: what each kind of entry gives, that it is a view, and what is refused.
#include <catch2/catch.hpp>

#include "calque/autograd.h"
#include "calque/ops.h"

using namespace calque;

namespace {

std::vector<int64_t> elements(const Tensor& x) { return x.to_vector<int64_t>(); }
Tensor cube() { return reshape(arange(24), {2, 3, 4}); }
using Integers = std::vector<int64_t>;

}  // namespace

TEST_CASE("an integer picks from the first axis and drops it", "[indexing]") {
  const Tensor x = cube();
  CHECK(x[1].shape() == Shape{3, 4});
  CHECK(elements(x[1])[0] == 12);
  CHECK(x[-1][2][-4].item() == 20);
  CHECK(elements(x[0][1]) == Integers{4, 5, 6, 7});
  CHECK(arange(5)[2].shape() == Shape{});
  const int small = 1;
  const size_t large = 1;
  CHECK(x[small][large][int64_t{1}].item() == 17);
}

TEST_CASE("slices keep their axis; bounds are clamped as in Python", "[indexing]") {
  const Tensor x = arange(6);
  CHECK(elements(x[Slice{}]) == Integers{0, 1, 2, 3, 4, 5});
  CHECK(elements(x[Slice{1, 4}]) == Integers{1, 2, 3});
  CHECK(elements(x[Slice{-2}]) == Integers{4, 5});
  CHECK(elements(x[Slice{{}, -4}]) == Integers{0, 1});
  CHECK(elements(x[Slice{4, 100}]) == Integers{4, 5});
  CHECK(elements(x[Slice{-100, 1}]) == Integers{0});
  CHECK(x[Slice{4, 2}].shape() == Shape{0});
  CHECK(x[Slice{100, 200}].shape() == Shape{0});
  CHECK(elements(x[Slice{{}, {}, 2}]) == Integers{0, 2, 4});
  CHECK(elements(x[Slice{1, {}, 2}]) == Integers{1, 3, 5});
  CHECK(elements(x[Slice{1, 5, 3}]) == Integers{1, 4});
  CHECK(elements(x[Slice{2, {}, 100}]) == Integers{2});
  CHECK(x[Slice{3, 3, 2}].shape() == Shape{0});
}

TEST_CASE("integers, slices, an ellipsis and new axes together", "[indexing]") {
  const Tensor x = cube();
  CHECK(elements(x[{1, Slice{0, 2}, -1}]) == Integers{15, 19});
  CHECK(x[{1, Slice{0, 2}, -1}].shape() == Shape{2});
  CHECK(x[{0, 1}].shape() == Shape{4});
  CHECK(x[{0}].shape() == Shape{3, 4});
  CHECK(x[{ellipsis, 0}].shape() == Shape{2, 3});
  CHECK(elements(x[{ellipsis, 0}]) == Integers{0, 4, 8, 12, 16, 20});
  CHECK(elements(x[{1, ellipsis, 3}]) == Integers{15, 19, 23});
  CHECK(elements(x[{1, 2, 3, ellipsis}]) == Integers{23});
  CHECK(x[{newaxis}].shape() == Shape{1, 2, 3, 4});
  CHECK(x[{newaxis, ellipsis, newaxis}].shape() == Shape{1, 2, 3, 4, 1});
  CHECK(x[{0, newaxis, Slice{1, 3}, newaxis, 2}].shape() == Shape{1, 2, 1});
  CHECK(elements(x[{0, newaxis, Slice{1, 3}, newaxis, 2}]) == Integers{6, 10});
  CHECK(x[{Slice{}, Slice{}}].shape() == x.shape());
  CHECK(x[{Slice{}, Slice{2, 2}, 0}].shape() == Shape{2, 0});
  const Tensor turned = permute(x, {2, 0, 1});
  CHECK(elements(turned[{Slice{1, 3}, 1}]) == Integers{13, 17, 21, 14, 18, 22});
}

TEST_CASE("every index is a view: writes go through", "[indexing]") {
  Tensor x = cube();
  x[{1, Slice{1, 3}, 0}].assign_(from_vector<int64_t>({-1, -2}));
  CHECK(x[{1, 1, 0}].item() == -1);
  CHECK(x[{1, 2, 0}].item() == -2);
  x[0].fill_(7);
  CHECK(elements(x[{0, 2}]) == Integers{7, 7, 7, 7});
  x[{ellipsis, 3}].add_(100);
  CHECK(elements(x[{1, 0}]) == Integers{12, 13, 14, 115});
  x[{0, Slice{{}, {}, 2}, Slice{1, {}, 2}}].zero_();
  CHECK(elements(x[0]) == Integers{7, 0, 7, 0, 7, 7, 7, 107, 7, 0, 7, 0});
  const Tensor row = x[{1, 0}];
  x[{1, 0, 2}].assign_(from_value<int64_t>(5));
  CHECK(elements(row) == Integers{12, 13, 5, 115});
}

TEST_CASE("what an index must not be", "[indexing]") {
  const Tensor x = cube();
  CHECK_THROWS_AS(x[2], UserError);
  CHECK_THROWS_AS(x[-3], UserError);
  CHECK_THROWS_AS((x[{0, 0, 0, 0}]), UserError);
  CHECK_THROWS_AS((x[{ellipsis, ellipsis}]), UserError);
  CHECK_THROWS_AS((x[Slice{0, 2, 0}]), UserError);
  CHECK_THROWS_AS((x[Slice{0, 2, -1}]), UserError);
  CHECK_THROWS_AS(from_value(1.0f)[0], UserError);
  CHECK_THROWS_AS(Tensor()[0], UserError);
  try {
    x[{1, 5}];
  } catch (const UserError& error) {
    CHECK(std::string(error.what()).find("5 is out of range for axis 1 of [2,3,4]") != std::string::npos);
  }
}

TEST_CASE("gradients flow through an index", "[indexing]") {
  Tensor x = cast(cube(), DType::f64);
  x.set_requires_grad();
  sum(x[{1, Slice{0, 2}, -1}] * x[{0, Slice{1, 3}, newaxis, 0}][{Slice{}, 0}]).backward();
  std::vector<double> expected(24, 0);
  expected[15] = 4, expected[19] = 8, expected[4] = 15, expected[8] = 19;
  CHECK(x.grad().to_vector<double>() == expected);
}
