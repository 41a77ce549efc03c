// Writes in place without gradients: values, views, overlaps, versions, and what is refused.
#include <catch2/catch.hpp>

#include <cmath>

#include "calque/autograd.h"
#include "calque/ops.h"
#include "tests/support/test_values.h"
#include "tests/support/same_bits.h"

using namespace calque;
using namespace calque::test;

namespace {

std::vector<float> floats(const Tensor& x) { return x.to_vector<float>(); }
using Floats = std::vector<float>;

}  // namespace

TEST_CASE("each write in place gives the bits of its op", "[in_place]") {
  for (DType dtype : {DType::f32, DType::f64, DType::i64, DType::i32})
    for (bool strided : {false, true}) {
      const Type type{dtype, {7, 9}};
      const auto fresh = [&] { return strided ? strided_tensor(type, 3) : ordinary_tensor(type, 3); };
      const Tensor same = ordinary_tensor(type, 4), row = ordinary_tensor({dtype, {9}}, 5), x = fresh();
      const auto check = [](Tensor written, const Tensor& expected) { CHECK(same_bits(written, expected)); };
      for (const Tensor& y : {same, row, transpose(ordinary_tensor({dtype, {9, 7}}, 6))}) {
        check(fresh().add_(y), x + y);
        check(fresh().sub_(y), x - y);
        check(fresh().mul_(y), x * y);
        if (is_floating(dtype)) check(fresh().div_(y), x / y);
        check(fresh().assign_(y), x * scalar(0, x) + y);
      }
      check(fresh().add_(2), x + 2);
      check(fresh().sub_(2), x - 2);
      check(fresh().mul_(3), x * 3);
      if (is_floating(dtype)) check(fresh().div_(3), x / 3);
      check(fresh().fill_(5), full({7, 9}, 5, dtype));
      check(fresh().zero_(), zeros({7, 9}, dtype));
      check(fresh().clamp_(-1, 2), minimum(maximum(x, scalar(-1, x)), scalar(2, x)));
      Tensor own = fresh();
      check(own.add_(own), x + x);
      check(own.mul_(own), (x + x) * (x + x));
    }
  Tensor mask = from_value(true);
  mask.assign_(from_value(false));
  CHECK(mask.item() == 0);
}

TEST_CASE("a write through any view is seen through every other", "[in_place]") {
  Tensor base = zeros({4, 6});
  const Tensor turned = transpose(base), flat = reshape(base, {24}), pieces = split(base, 2, 1)[1], detached = base.detach();
  slice(turned, 0, 1, 3).add_(from_vector<float>({1, 2, 3, 4}));
  CHECK(floats(base[1]) == Floats{0, 2, 2, 0, 0, 0});
  CHECK(floats(slice(flat, 0, 6, 9)) == Floats{0, 2, 2});
  flat[-1].assign_(from_value(9.0f));
  CHECK(pieces[{3, 2}].item() == 9);
  base.mul_(2);
  CHECK(detached[{3, 5}].item() == 18);
  CHECK(turned[{1, 3}].item() == 8);
  for (const Tensor& x : {base, turned, flat, pieces, detached}) CHECK(x.version() == 3);
}

TEST_CASE("a source that overlaps what is written is read first", "[in_place]") {
  Tensor x = cast(arange(8), DType::f32);
  slice(x, 0, 1, 8).assign_(slice(x, 0, 0, 7));
  CHECK(floats(x) == Floats{0, 0, 1, 2, 3, 4, 5, 6});
  slice(x, 0, 0, 7).add_(slice(x, 0, 1, 8));
  CHECK(floats(x) == Floats{0, 1, 3, 5, 7, 9, 11, 6});
  Tensor square = reshape(cast(arange(4), DType::f32), {2, 2});
  square.assign_(transpose(square));
  CHECK(floats(square) == Floats{0, 2, 1, 3});
  square.add_(transpose(square));
  CHECK(floats(square) == Floats{0, 3, 3, 6});
  square.mul_(square[0]);
  CHECK(floats(square) == Floats{0, 9, 0, 18});
  square.sub_(square[{1, 1}]);
  CHECK(floats(square) == Floats{-18, -9, -18, 0});
}

TEST_CASE("an expanded tensor is refused, and so is what does not fit", "[in_place]") {
  Tensor x = zeros({3, 2});
  Tensor wide = expand(zeros({1, 2}), {3, 2});
  CHECK_THROWS_AS(wide.add_(1), UserError);
  CHECK_THROWS_AS(wide.assign_(x), UserError);
  CHECK_THROWS_AS(wide.zero_(), UserError);
  CHECK_THROWS_AS(x.add_(zeros({3})), UserError);
  CHECK_THROWS_AS(x.add_(zeros({4, 3, 2})), UserError);
  CHECK_THROWS_AS(x.assign_(zeros({4, 3, 2})), UserError);
  CHECK_THROWS_AS(x.assign_(zeros({3, 2}, DType::f64)), UserError);
  CHECK_THROWS_AS(x.add_(zeros({3, 2}, DType::f64)), UserError);
  Tensor whole = arange(3);
  CHECK_THROWS_AS(whole.div_(2), UserError);
  CHECK_THROWS_AS(whole.add_(ones({3})), UserError);
  CHECK_THROWS_AS(whole.add_(0.5), UserError);
  CHECK_THROWS_AS(whole.fill_(NAN), UserError);
  CHECK_THROWS_AS(Tensor().zero_(), UserError);
  CHECK_THROWS_AS(x.add_(Tensor()), UserError);
  CHECK(floats(x) == Floats(6, 0));
  CHECK(x.version() == 0);
  CHECK(whole.to_vector<int64_t>() == std::vector<int64_t>{0, 1, 2});
}

TEST_CASE("tensors without elements are written without effect", "[in_place]") {
  Tensor x = zeros({0, 4});
  x.add_(1).mul_(ones({1, 4})).assign_(zeros({0, 4}));
  zeros({3})[Slice{2, 2}].fill_(4);
  CHECK(x.shape() == Shape{0, 4});
}
