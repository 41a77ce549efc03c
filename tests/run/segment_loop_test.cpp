// Loops whose steps end segments, or toss a coin between bodies: what is recorded and compiled depends neither on how often they
// run nor on the coins.
#include <random>

#include "calque/pure.h"
#include "tests/run/loop_programs.h"
#include "tests/support/sanitized.h"

using namespace calque;
using namespace calque::loop_programs;

namespace {

/// Results of a call, and of gradients of all weights where there are any.
template <class Function>
Tensors with_weight_gradients(Function& function, const Tensor& xs) {
  const Tensors w = weights();
  Tensors all = function(xs, w);
  Tensor loss = full({}, 0.0, DType::f64);
  for (const Tensor& result : all) loss = loss + sum(result * result);
  for (const Tensor& gradient : grad({loss}, {w[0], w[1], w[2]})) all.push_back(gradient);
  return all;
}

void check_near(const Tensors& ours, const Tensors& expected) {
  REQUIRE(ours.size() == expected.size());
  for (size_t i = 0; i < expected.size(); ++i) {
    const Tensor a = ours[i].detach(), b = expected[i].detach();
    REQUIRE(a.shape() == b.shape());
    CHECK(max(abs(a - b)).item() <= 1e-11 * (1 + max(abs(b)).item()));
  }
}

/// Ends as soon as a value that each step reads is small.
Tensors reads_each_step(const Tensor& xs, const Tensors& w) {
  Tensor h = state(0.3), c = state(-0.2), loss = full({}, 0.0, DType::f64);
  for (int64_t t = 0; t < xs.size(0); ++t) {
    const Tensors next = lstm_step(xs[t], h, c, w);
    h = next[0], c = next[1];
    const Tensor now = sum(h * h);
    loss = loss + now;
    if (now.item() < 0.01) break;
  }
  return {h, c, loss};
}

}  // namespace

TEST_CASE("segment loops: a read in each step is recorded once for any number of steps") {
  for (bool gradients : {false, true}) {
    INFO("gradients " << gradients);
    auto compiled = compile(reads_each_step);
    const auto call = [&](int64_t steps) {
      INFO(steps << " steps");
      const Tensor xs = sequence(steps, 0.01 * static_cast<double>(steps % 7));
      if (gradients) return check_near(with_weight_gradients(compiled, xs), with_weight_gradients(reads_each_step, xs));
      const NoGradGuard no_grad;
      const Tensors w = weights();
      check_same(compiled(xs, w), reads_each_step(xs, w), "results");
    };
    for (int64_t steps : {10, 10, 11, 3, 10, 17}) call(steps);
    const CompileStats learned = compiled.stats();
    CHECK(learned.trace_nodes < 150);
    for (int64_t steps : {4, 40, 9, 100, 13, 10, 300, 5, 40}) call(steps);
    if (!gradients) call(test::scaled(10000));
    const CompileStats now = compiled.stats();
    CHECK(now.trace_nodes == learned.trace_nodes);
    CHECK(now.recorded_calls == learned.recorded_calls);
    CHECK_COMPILED(now.compilations == learned.compilations);
    CHECK_COMPILED(now.compilations <= 6);
    CHECK(now.branches <= 4);
  }
}

namespace {

/// Feeds each step with what the sequence says, or with what the step before gave, as a coin decides on the host.
Tensors teacher_forced(const Tensor& xs, const Tensors& w, std::mt19937& coins, int bodies) {
  Tensor h = state(0.3), c = state(-0.2), loss = full({}, 0.0, DType::f64);
  Tensors outputs;
  for (int64_t t = 0; t < xs.size(0); ++t) {
    const auto side = static_cast<int>(coins() % static_cast<uint32_t>(bodies));
    const Tensor x = side == 0 ? xs[t] : side == 1 ? tanh(h * 1.5) : h * 0.5 - xs[t];
    const Tensors next = lstm_step(x, h, c, w);
    h = next[0], c = next[1];
    loss = loss + sum(h * xs[t]);
  }
  return {h, c, loss};
}

struct CoinRun {
  CompileStats learned, now;
};

template <class Compiled>
CoinRun run_coins(Compiled& compiled, std::mt19937& ours, int bodies, bool gradients, int calls) {
  std::mt19937 lengths(5), theirs(11);
  ours.seed(11);
  const auto plain = [&](const Tensor& xs, const Tensors& w) { return teacher_forced(xs, w, theirs, bodies); };
  CoinRun run;
  for (int call = 0; call < calls; ++call) {
    const int64_t steps = 3 + lengths() % 38;
    INFO("call " << call << " of " << steps << " steps");
    const Tensor xs = sequence(steps, 0.01 * static_cast<double>(call % 7));
    if (gradients) {
      check_near(with_weight_gradients(compiled, xs), with_weight_gradients(plain, xs));
    } else {
      const NoGradGuard no_grad;
      const Tensors w = weights();
      check_same(compiled(xs, w), plain(xs, w), "results");
    }
    if (call == calls * 9 / 10) run.learned = compiled.stats();
  }
  run.now = compiled.stats();
  return run;
}

void check_bounded(const CoinRun& run) {
  // First steps that few calls begin with may come late.
  CHECK(run.now.recorded_calls <= run.learned.recorded_calls + 1);
  CHECK_COMPILED(run.now.compilations <= run.learned.compilations + 1);
  CHECK(run.now.recorded_calls <= 16);
  CHECK(run.now.branches <= 20);
  CHECK(run.now.trace_nodes <= 200);
  CHECK_COMPILED(run.now.compilations <= 20);
}

}  // namespace

TEST_CASE("segment loops: coins between bodies, in any order and number") {
  const auto calls = static_cast<int>(test::scaled(200));
  for (int bodies : {2, 3})
    for (bool gradients : {false, true}) {
      INFO(bodies << " bodies, gradients " << gradients);
      std::mt19937 coins;
      auto compiled = compile([&](const Tensor& xs, const Tensors& w) { return teacher_forced(xs, w, coins, bodies); });
      check_bounded(run_coins(compiled, coins, bodies, gradients, calls));
    }
}

TEST_CASE("segment loops: a pure function that tosses coins is found out, and stays right") {
  std::mt19937 coins;
  auto compiled = compile(pure, [&](const Tensor& xs, const Tensors& w) { return teacher_forced(xs, w, coins, 2); });
  const CoinRun run = run_coins(compiled, coins, 2, false, 60);
  CHECK(run.now.trace_nodes <= 200);
  CHECK(run.now.recorded_calls == run.learned.recorded_calls);
}

TEST_CASE("segment loops: coins that are arguments of a pure function") {
  const auto program = [](const Tensor& xs, const std::vector<bool>& coins) -> Tensors {
    Tensor h = xs[0] * 0.5;
    for (int64_t t = 1; t < xs.size(0); ++t) h = tanh(coins[static_cast<size_t>(t)] ? h * xs[t] + 0.1 : h - xs[t] * 0.5);
    return {h};
  };
  const NoGradGuard no_grad;
  auto compiled = compile(pure, program);
  std::mt19937 random(3);
  for (int call = 0; call < 150; ++call) {
    const int64_t steps = 3 + random() % 20;
    std::vector<bool> coins;
    for (int64_t t = 0; t < steps; ++t) coins.push_back(random() % 2 == 0);
    const Tensor xs = sequence(steps, 0.01 * (call % 9));
    for (int repeat = 0; repeat < 3; ++repeat) check_same(compiled(xs, coins), program(xs, coins), "results");
  }
  CHECK(compiled.stats().trace_nodes <= 200);
}

namespace {

/// Compiled calls give what plain ones do, and the last quarter of them records nothing.
template <class Make>
void check_settles(Make make, int calls, uint64_t most_nodes) {
  auto plain = make();
  auto compiled = compile(make());
  CompileStats learned;
  for (int call = 0; call < calls; ++call) {
    INFO("call " << call);
    const Tensors in = two_matrices(call % 11);
    check_same(compiled(in), plain(in), "results");
    if (call == calls * 3 / 4) learned = compiled.stats();
  }
  const CompileStats now = compiled.stats();
  CHECK(now.recorded_calls == learned.recorded_calls);
  CHECK(now.trace_nodes == learned.trace_nodes);
  CHECK(now.trace_nodes <= most_nodes);
  CHECK_COMPILED(now.compilations == learned.compilations);
}

}  // namespace

TEST_CASE("segment loops: a coin in the inner of two loops") {
  const auto make = [] {
    return [random = std::mt19937(4)](const Tensors& in) mutable -> Tensors {
      Tensor x = in[0];
      const int outer = 2 + static_cast<int>(random() % 6), inner = 2 + static_cast<int>(random() % 5);
      for (int i = 0; i < outer; ++i) {
        for (int k = 0; k < inner; ++k) x = tanh(random() % 2 == 0 ? x * in[1] : x - in[1]) + in[0] * 0.1;
        x = sigmoid(x) - 0.5;
      }
      return {x * 2.0, x};
    };
  };
  check_settles(make, static_cast<int>(test::scaled(120)), 150);
}

TEST_CASE("segment loops: one step that differs, at another place in each call") {
  const auto make = [] {
    return [random = std::mt19937(4)](const Tensors& in) mutable -> Tensors {
      Tensor x = in[0];
      const int steps = 6 + static_cast<int>(random() % 20), odd = static_cast<int>(random() % static_cast<uint32_t>(steps));
      for (int t = 0; t < steps; ++t) {
        x = tanh(x * in[1]) + in[0] * 0.1;
        if (t == odd) x = sigmoid(x) * 2.0 - 0.5;
      }
      return {x};
    };
  };
  auto plain = make();
  auto compiled = compile(make());
  for (int call = 0; call < 150; ++call) {
    const Tensors in = two_matrices(call % 11);
    check_same(compiled(in), plain(in), "results");
  }
  CHECK(compiled.stats().trace_nodes <= 150);
  CHECK(compiled.stats().branches <= 20);
}

TEST_CASE("segment loops: coins rarely on one side") {
  const auto make = [] {
    return [random = std::mt19937(4)](const Tensors& in) mutable -> Tensors {
      Tensor x = in[0];
      const int steps = 10 + static_cast<int>(random() % 40);
      for (int t = 0; t < steps; ++t) x = tanh(random() % 10 == 0 ? x * in[1] : x - in[1]) + in[0] * 0.1;
      return {x};
    };
  };
  check_settles(make, static_cast<int>(test::scaled(120)), 100);
}

TEST_CASE("segment loops: values of earlier steps are held, calls throw in the middle, and two layers toss coins") {
  for (int variant = 0; variant < 4; ++variant) {
    INFO("variant " << variant);
    const auto make = [variant] {
      return [variant, random = std::mt19937(9), old = Tensors()](const Tensors& in) mutable -> Tensors {
        const int steps = 3 + static_cast<int>(random() % 15);
        Tensor x = in[0], y = in[1];
        Tensors kept;
        try {
          for (int t = 0; t < steps; ++t) {
            x = tanh(random() % 2 == 0 ? x * in[1] : x - y);
            if (variant == 0) kept.push_back(x);
            if (variant == 0 && t == 4) old.push_back(x);
            y = variant == 1 && random() % 2 == 0 ? sigmoid(y + x) : y * 0.5 + x;
            if (variant == 2 && random() % 7 == 0) matmul(x, x);  // shapes do not fit
            if (variant == 3 && random() % 3 == 0 && sum(x).item() > 0) x = x * 0.5;
          }
        } catch (const UserError&) {
          x = x * 3.0;
        }
        if (variant == 0 && !kept.empty()) kept = {stack(kept), kept.front(), old.empty() ? x : old.back()};
        kept.push_back(x);
        kept.push_back(y);
        return kept;
      };
    };
    auto plain = make();
    auto compiled = compile(make());
    for (int call = 0; call < 100; ++call) {
      INFO("call " << call);
      const Tensors in = two_matrices(call % 11);
      check_same(compiled(in), plain(in), "results");
    }
    CHECK(compiled.stats().branches <= 64);
    CHECK(compiled.stats().trace_nodes <= 600);
  }
}

TEST_CASE("segment loops: an explanation tells of the steps") {
  std::mt19937 coins;
  auto compiled = compile([&](const Tensor& xs, const Tensors& w) { return teacher_forced(xs, w, coins, 2); });
  run_coins(compiled, coins, 2, false, 20);
  CHECK(compiled.explain().find("[steps-differ]") != std::string::npos);
  CHECK(compiled.explain().find("[apart]") != std::string::npos);
}

TEST_CASE("segment loops: two loops over one function's steps are no steps in another order") {
  const Tensors w = weights();
  const NoGradGuard no_grad;
  const auto program = [&](const Tensor& xs) -> Tensors {
    Tensor h = state(0.3), c = state(-0.2), k = state(0.1), d = state(0.2);
    Tensors there, back;
    const auto step = [&](int64_t t, Tensor& h, Tensor& c, Tensors& results) {
      const Tensors next = lstm_step(xs[t], h, c, w);
      h = next[0], c = next[1];
      results.push_back(h);
    };
    for (int64_t t = 0; t < xs.size(0); ++t) step(t, h, c, there);
    for (int64_t t = xs.size(0) - 1; t >= 0; --t) step(t, k, d, back);
    return {stack(there), stack(back), h, c, k, d};
  };
  auto compiled = compile(program);
  for (int64_t steps : {7, 7, 3, 3, 2, 2, 7, 7}) {
    INFO(steps << " steps");
    const uint64_t runs = compiled.stats().plan_runs;
    const Tensor xs = sequence(steps);
    check_same(compiled(xs), program(xs), "results");
    CHECK_COMPILED(compiled.stats().plan_runs <= runs + 1);
  }
}

TEST_CASE("segment loops: a function that is cut into steps, and throws in a step that it never took") {
  const Tensors w = weights();
  const NoGradGuard no_grad;
  const auto program = [&](const Tensor& xs, int number) -> Tensors {
    Tensor h = state(0.3), c = state(-0.2);
    for (int64_t t = 0; t < xs.size(0); ++t) {
      const Tensors next = lstm_step(xs[t], h, c, w);
      h = next[0], c = (t * t + number) % 3 == 1 ? next[1] : -next[1];
      if (number % 4 == 3 && t == 12) throw std::runtime_error("enough: " + std::to_string(exp(h).size(0)));
    }
    return {h, c};
  };
  int number = 0;
  auto compiled = compile([&](const Tensor& xs) { return program(xs, number); });
  for (; number < 16; ++number) {
    INFO("call " << number);
    const Tensor xs = sequence(20, 0.1 * number);
    if (number % 4 == 3) CHECK_THROWS(compiled(xs));
    else check_same(compiled(xs), program(xs, number), "results");
  }
}
