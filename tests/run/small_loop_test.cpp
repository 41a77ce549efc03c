// Loops whose steps are small: run by one thread or by all, or two at the same time, always with the same bits.
#include "tests/run/loop_programs.h"
#include "tests/support/threads.h"

using namespace calque;
using namespace calque::loop_programs;

namespace {

constexpr int64_t kWide = 64;  // wide enough that a step may be shared

Tensors wide_weights() {
  Tensors w;
  for (int direction = 0; direction < 2; ++direction)
    for (const Shape& shape : {Shape{kWide, 4 * kWide}, Shape{kWide, 4 * kWide}, Shape{4 * kWide}})
      w.push_back((doubles(shape, 0.2 + direction) * 0.1).detach().set_requires_grad());
  return w;
}

Tensors both_directions(const Tensor& xs, const Tensor& h, const Tensor& c, const Tensors& w) {
  Tensors results = lstm(xs, h, c, {w.begin(), w.begin() + 3});
  for (Tensor& result : backwards(xs, h, c, {w.begin() + 3, w.end()})) results.push_back(result);
  return results;
}

struct Inputs {
  Tensor xs, h = doubles({1, kWide}, 0.3), c = doubles({1, kWide}, -0.2);
  Tensors w = wide_weights();
  explicit Inputs(int64_t steps) : xs(doubles({steps, 1, kWide}, 0.1)) {}
};

}  // namespace

TEST_CASE("small loops: the same bits on one thread and on several, while both are tried and after") {
  const Inputs in(20);
  const NoGradGuard no_grad;
  auto compiled = compile(lstm);
  const Tensors w(in.w.begin(), in.w.begin() + 3), expected = lstm(in.xs, in.h, in.c, w);
  for (int threads : {1, 2, 3}) {
    const test::Threads scope(threads);
    for (int call = 0; call < 40; ++call) check_same(compiled(in.xs, in.h, in.c, w), expected, "results");
  }
  CHECK_COMPILED(compiled.explain().find("quicker when tried: 1") != std::string::npos);
}

TEST_CASE("small loops: two directions at the same time, with the bits of one after the other") {
  for (int threads : {1, 2, 3}) {
    const test::Threads scope(threads);
    const Inputs in(20);
    auto compiled = compile(both_directions);
    const auto gradients = [&](const Tensors& results) {
      sum(results[0] * results[0] + results[results.size() / 2]).backward();
      Tensors all;
      for (Tensor weight : in.w) {
        all.push_back(weight.grad());
        weight.clear_grad();
      }
      return all;
    };
    const Tensors expected = both_directions(in.xs, in.h, in.c, in.w), expected_gradients = gradients(expected);
    Tensors first;
    for (int call = 0; call < 20; ++call) {
      const Tensors results = compiled(in.xs, in.h, in.c, in.w);
      check_same(results, expected, "results");
      const Tensors found = gradients(results);
      check_close(found, expected_gradients);
      if (call == 3) first = found;
      if (call > 3) check_same(found, first, "gradients");
    }
    CHECK_COMPILED(compiled.explain().find("a thread of its own: 2") != std::string::npos);
  }
}

TEST_CASE("small loops: both of two at the same time may fail, and the next call works") {
  const test::Threads scope(2);
  const NoGradGuard no_grad;
  const Tensor table = doubles({8, kWide}, 0.4), w = doubles({kWide, kWide}, 0.1) * 0.1, h = doubles({1, kWide}, 0.3);
  const auto walk = [&](const Tensor& indices) {
    Tensor state = h;
    for (int64_t t = 0; t < indices.size(0); ++t) state = tanh(matmul(state, w) + take(table, select(indices, 0, t), 0));
    return state;
  };
  auto compiled = compile([&](const Tensor& a, const Tensor& b) { return Tensors{walk(a), walk(b)}; });
  const Tensor good = zeros({30, 1}, DType::i64), bad = full({30, 1}, 99.0, DType::i64);
  const Tensors expected = {walk(good), walk(good)};
  for (int round = 0; round < 3; ++round) {
    for (int call = 0; call < 4; ++call) check_same(compiled(good, good), expected, "results");
    CHECK_THROWS_AS(compiled(bad, bad), UserError);
    CHECK_THROWS_AS(compiled(good, bad), UserError);
  }
}
