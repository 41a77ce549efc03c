// Type promotion: the whole table of dtype by dtype, on every op that promotes, as casts that a compiled function records.
#include <catch2/catch.hpp>

#include "calque/autograd.h"
#include "calque/compile.h"
#include "calque/ops.h"
#include "runtime/dispatch.h"
#include "tests/support/same_bits.h"
#include "tests/support/test_values.h"

using namespace calque;
using namespace calque::test;

namespace {

/// The table, written out: rows and columns in the order of kAllDTypes.
constexpr DType f32 = DType::f32, f64 = DType::f64, i64 = DType::i64, i32 = DType::i32, boolean = DType::boolean;
constexpr DType kCommon[5][5] = {{f32, f64, f32, f32, f32},
                                 {f64, f64, f64, f64, f64},
                                 {f32, f64, i64, i64, i64},
                                 {f32, f64, i64, i32, i32},
                                 {f32, f64, i64, i32, boolean}};

DType expected_common(DType a, DType b) { return kCommon[static_cast<int>(a)][static_cast<int>(b)]; }
DType expected_float(DType a, DType b) {
  const DType common = expected_common(a, b);
  return is_floating(common) ? common : f32;
}

Tensor sample(DType dtype, uint64_t seed) { return ordinary_tensor({dtype, {3, 4}}, seed); }

}  // namespace

TEST_CASE("promote_types is the documented table", "[promotion]") {
  for (DType a : kAllDTypes)
    for (DType b : kAllDTypes) {
      INFO(name(a) << " " << name(b));
      CHECK(promote_types(a, b) == expected_common(a, b));
      CHECK(promote_types(a, b) == promote_types(b, a));
    }
}

TEST_CASE("every binary row computes in the common dtype, exactly as if the user had cast", "[promotion]") {
  for (int i = 0; i < kOpCount; ++i) {
    const Op op = static_cast<Op>(i);
    const OpRow& entry = row(op);
    if (entry.signature == Signature::none || entry.inputs != 2) continue;
    for (DType a : kAllDTypes)
      for (DType b : kAllDTypes) {
        const DType common = entry.signature == Signature::floating ? expected_float(a, b) : expected_common(a, b);
        const Tensor mixed[] = {sample(a, 1), sample(b, 2)};
        INFO(entry.name << " " << name(a) << " " << name(b));
        const bool is_taken = entry.signature == Signature::logical ? a == boolean && b == boolean : accepts(entry.signature, common);
        if (!is_taken) {
          CHECK_THROWS_AS(run_op(op, mixed, {}), UserError);
          continue;
        }
        const Tensor cast_first[] = {cast(mixed[0], common), cast(mixed[1], common)};
        CHECK(same_bits(run_op(op, mixed, {})[0], run_op(op, cast_first, {})[0]));
      }
  }
}

TEST_CASE("unary float rows and composites turn integers and bools into f32", "[promotion]") {
  for (DType dtype : {i64, i32, boolean}) {
    const Tensor x = sample(dtype, 3), y = cast(x, f32);
    INFO(name(dtype));
    CHECK(same_bits(exp(x), exp(y)));
    CHECK(same_bits(sqrt(abs(sin(x))), sqrt(abs(sin(y)))));
    CHECK(same_bits(mean(x), mean(y)));
    CHECK(same_bits(softmax(x), softmax(y)));
    CHECK(same_bits(layer_norm(x), layer_norm(y)));
    CHECK(same_bits(mse_loss(x, sample(f64, 4)), mse_loss(cast(x, f64), sample(f64, 4))));
  }
}

TEST_CASE("where, concat and matmul promote; masks and indices stay", "[promotion]") {
  const Tensor mask = sample(boolean, 5);
  for (DType a : kAllDTypes)
    for (DType b : kAllDTypes) {
      const DType common = expected_common(a, b);
      INFO(name(a) << " " << name(b));
      CHECK(where(mask, sample(a, 1), sample(b, 2)).dtype() == common);
      CHECK(concat({sample(a, 1), sample(b, 2)}, 0).dtype() == common);
    }
  CHECK(matmul(sample(f32, 1), transpose(sample(f64, 2))).dtype() == f64);
  CHECK(matmul(sample(i64, 1), transpose(sample(f32, 2))).dtype() == f32);
  CHECK_THROWS_AS(matmul(sample(i64, 1), transpose(sample(i32, 2))), UserError);
  CHECK(take(sample(f32, 1), arange(2)).dtype() == f32);
}

TEST_CASE("sums and products of bools count in i64; those of numbers keep their dtype", "[promotion]") {
  const Tensor x = sample(boolean, 6);
  CHECK(sum(x).dtype() == i64);
  CHECK(sum(x).item() == sum(cast(x, f64)).item());
  CHECK(prod(x).dtype() == i64);
  for (DType dtype : {f32, f64, i64, i32}) CHECK(sum(sample(dtype, 7)).dtype() == dtype);
}

TEST_CASE("plain numbers take the dtype of the tensor where their kind allows", "[promotion]") {
  for (DType dtype : {f32, f64}) {
    CHECK((sample(dtype, 1) + 0.5).dtype() == dtype);
    CHECK((sample(dtype, 1) + 2).dtype() == dtype);
    CHECK((true + sample(dtype, 1)).dtype() == dtype);
  }
  for (DType dtype : {i64, i32}) {
    CHECK((sample(dtype, 1) + 2).dtype() == dtype);
    CHECK((2.5f * sample(dtype, 1)).dtype() == f32);
    CHECK((sample(dtype, 1) / 2).dtype() == f32);
    CHECK((sample(dtype, 1) % 3).dtype() == dtype);
    CHECK(pow(sample(dtype, 1), 2).dtype() == dtype);
    CHECK(maximum(0, sample(dtype, 1)).dtype() == dtype);
  }
  CHECK((sample(boolean, 1) + 1).dtype() == i64);
  CHECK((sample(boolean, 1) * 0.5).dtype() == f32);
  CHECK(where(sample(boolean, 1), sample(i32, 2), 0.5).dtype() == f32);
  CHECK((from_value(int64_t{3}) + (int64_t{1} << 52)).to_vector<int64_t>()[0] == (int64_t{1} << 52) + 3);
  CHECK_THROWS_AS(from_value(int64_t{3}) + INT64_MAX, UserError);
  CHECK_THROWS_AS(from_value(int64_t{3}) + INT64_MIN, UserError);
}

TEST_CASE("gradients flow back through promotion in each operand's own dtype", "[promotion]") {
  Tensor a = sample(f32, 1), b = sample(f64, 2);
  a.set_requires_grad();
  b.set_requires_grad();
  sum(a * b).backward();
  CHECK(same_bits(a.grad(), cast(b.detach(), f32)));
  CHECK(same_bits(b.grad(), cast(a.detach(), f64)));
}

TEST_CASE("a compiled function promotes as eager execution does", "[promotion]") {
  auto f = compile([](const Tensor& a, const Tensor& b, const Tensor& c) { return exp(a) + b * c - a / 2; });
  const Tensor a = sample(i32, 1), b = sample(f32, 2), c = sample(f64, 3);
  const Tensor expected = exp(a) + b * c - a / 2;
  CHECK(expected.dtype() == f64);
  for (int call = 0; call < 3; ++call) CHECK(same_bits(f(a, b, c), expected));
}
