// Every row against an oracle that shares no code with Calque: each element of each result of each case.
#include <catch2/catch.hpp>

#include "runtime/dispatch.h"
#include "tests/support/oracle.h"

using namespace calque;
using namespace calque::test;

namespace {

/// How many elements disagree, and the first of them in words.
struct Disagreement {
  int64_t count = 0;
  std::string first;
};

Disagreement compare(const OpCase& c) {
  Disagreement found;
  const std::vector<Tensor> results = run_op(c.op, c.inputs, c.attributes);
  const auto oracle = oracle_of(c);
  for (size_t r = 0; r < results.size(); ++r) {
    const Elements got(results[r]);
    for (int64_t i = 0; i < got.size(); ++i) {
      const Expected expected = oracle(static_cast<int>(r), got.shape(), i);
      if (agrees(got[i], expected, got.type().dtype)) continue;
      if (found.count++ > 0) continue;
      const auto text = [&](const Number& number) {
        return is_floating(got.type().dtype) ? std::to_string(number.value) : std::to_string(number.integer);
      };
      found.first = "result " + std::to_string(r) + " element " + std::to_string(i) + ": " + text(got[i]) +
                    ", expected " + text(expected.number) + " within " + std::to_string(expected.bound);
    }
  }
  return found;
}

}  // namespace

TEST_CASE("every row agrees with the oracle", "[oracle]") {
  for (int k = 0; k < kOpCount; ++k) {
    const Op op = static_cast<Op>(k);
    if (row(op).ir_only)
      continue;  // op_matrix_test compares programs that hold them with rows that are judged here
    const std::vector<OpCase> cases = op_cases(op);
    INFO(row(op).name);
    REQUIRE(!cases.empty());
    for (const OpCase& c : cases) {
      const Disagreement found = compare(c);
      INFO(c.describe() << ": " << found.count << " elements, first " << found.first);
      CHECK(found.count == 0);
    }
  }
}

// A judge that accepts everything judges nothing: numbers just beyond each bound are refused.
TEST_CASE("the oracle refuses what is wrong", "[oracle]") {
  const auto refuses = [](long double got, const Expected& expected) {
    return !agrees({got, 0}, expected, DType::f32);
  };
  CHECK(refuses(-0.0L, exactly(0)));
  CHECK(refuses(1, exactly(NAN)));
  CHECK(refuses(NAN, exactly(1)));
  CHECK(refuses(INFINITY, within_ulps(1e30L, 1, DType::f32)));
  CHECK(refuses(1 + 3 * epsilon_of(DType::f32), within_ulps(1, 2, DType::f32)));
  CHECK_FALSE(refuses(1 + epsilon_of(DType::f32), within_ulps(1, 2, DType::f32)));
  CHECK(!agrees({0, 3}, integer(4, DType::i32), DType::i32));
  CHECK(integer(int64_t{1} << 31, DType::i32).number.integer == INT32_MIN);
  const OpCase sum{Op::sum, Aspect::plain, {ones({1000})}, Attributes::of(false, Ints{})};
  CHECK(refuses(1001, oracle_of(sum)(0, {}, 0)));
  const OpCase cut{Op::slice, Aspect::plain, {arange(9)}, Attributes::of(0, -5, -1)};
  CHECK(oracle_of(cut)(0, {4}, 0).number.integer == 4);
}
