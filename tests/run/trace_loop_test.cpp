// Loops in the recorded way: one way for all lengths, found again through any number of iterations, and left where the program
// leaves them.
#include <algorithm>
#include <random>

#include "calque/pure.h"
#include "tests/run/loop_programs.h"
#include "tests/support/sanitized.h"

using namespace calque;
using namespace calque::loop_programs;

namespace {

/// Lengths in a fixed random order.
std::vector<int64_t> lengths(int count, int64_t least, int64_t most) {
  std::mt19937 random(7);
  std::vector<int64_t> all;
  for (int i = 0; i < count; ++i) all.push_back(least + static_cast<int64_t>(random() % static_cast<uint32_t>(most - least + 1)));
  return all;
}

}  // namespace

TEST_CASE("trace loops: every program gives eager execution's bits at any length") {
  for (const Loop& loop : loops()) {
    INFO(loop.name);
    const Tensors w = weights();
    const NoGradGuard no_grad;
    auto compiled = compile(loop.run);
    for (int64_t steps : lengths(40, 1, 24)) {
      INFO(steps << " steps");
      const Tensor xs = sequence(steps), h = state(0.3), c = state(-0.2);
      check_same(compiled(xs, h, c, w), loop.run(xs, h, c, w), "results");
    }
    if (loop.is_one_way) CHECK(compiled.stats().recorded_calls <= 4);
  }
}

TEST_CASE("trace loops: one way serves every length, and what is recorded does not grow with it") {
  const Tensors w = weights();
  const NoGradGuard no_grad;
  auto compiled = compile(lstm);
  const auto call = [&](int64_t steps) {
    INFO(steps << " steps");
    const Tensor xs = sequence(steps, 0.01 * static_cast<double>(steps % 13)), h = state(0.3), c = state(-0.2);
    check_same(compiled(xs, h, c, w), lstm(xs, h, c, w), "results");
  };
  for (int64_t steps : {200, 50}) call(steps);
  const CompileStats learned = compiled.stats();
  CHECK(learned.recorded_calls == 2);  // the second shows that the length is one
  CHECK(learned.trace_nodes < 120);    // 17 ops of a step, and what is around them
  const int calls = static_cast<int>(test::scaled(1000));
  for (int64_t steps : lengths(calls, 3, 60)) call(steps);
  CHECK(compiled.stats().recorded_calls == 2);
  CHECK(compiled.stats().trace_nodes == learned.trace_nodes);
  CHECK_COMPILED(compiled.stats().plan_runs == static_cast<uint64_t>(calls));
  CHECK_COMPILED(compiled.stats().code_generations <= 6);
  CHECK_COMPILED(compiled.stats().rolled_plans > 20);
  for (int repeat = 0; repeat < 3; ++repeat)
    for (int64_t steps : {0, 1, 2}) call(steps);
  CHECK(compiled.stats().recorded_calls <= 5);
}

TEST_CASE("trace loops: an explanation is as long for 200 steps as for 20") {
  const Tensors w = weights();
  const NoGradGuard no_grad;
  const auto lines = [&](int64_t steps) {
    auto compiled = compile(lstm);
    for (int call = 0; call < 3; ++call) compiled(sequence(steps), state(0.3), state(-0.2), w);
    const std::string text = compiled.explain();
    return std::count(text.begin(), text.end(), '\n');
  };
  CHECK(lines(20) == lines(200));
  CHECK(lines(200) < 60);
}

TEST_CASE("trace loops: both ways and layers, each with its own trip count") {
  const auto program = [](const Tensor& xs, const Tensor& ys, const Tensors& w) -> Tensors {
    const Tensors there = lstm(xs, state(0.3), state(-0.2), w);
    const Tensors back = backwards(ys, there[1], there[2], w);
    const Tensors again = lstm(there[0], back[1], there[1], w);
    return {there[0], back[0], again[0], again[2], select(again[0], 0, xs.size(0) - 2)};
  };
  const Tensors w = weights();
  const NoGradGuard no_grad;
  auto compiled = compile(program);
  const std::vector<int64_t> first = lengths(60, 4, 20), second = lengths(61, 4, 23);
  for (size_t i = 0; i < first.size(); ++i) {
    INFO(first[i] << " and " << second[i + 1] << " steps");
    const Tensor xs = sequence(first[i]), ys = sequence(second[i + 1], 0.2);
    check_same(compiled(xs, ys, w), program(xs, ys, w), "results");
  }
  CHECK(compiled.stats().recorded_calls <= 6);
}

TEST_CASE("trace loops: steps given as a vector of tensors") {
  const auto program = [](const Tensors& xs, const Tensors& w) -> Tensors {
    Tensor h = state(0.3), c = state(-0.2);
    Tensors hs;
    for (const Tensor& x : xs) {
      const Tensors next = lstm_step(x, h, c, w);
      h = next[0], c = next[1];
      hs.push_back(h);
    }
    return {stack(hs), h, c, reshape(stack(hs), {static_cast<int64_t>(xs.size()) * kBatch, kHidden})};
  };
  const Tensors w = weights();
  const NoGradGuard no_grad;
  auto compiled = compile(program);
  for (int64_t steps : lengths(60, 4, 20)) {
    INFO(steps << " steps");
    Tensors xs;
    for (int64_t i = 0; i < steps; ++i) xs.push_back(state(0.1 * static_cast<double>(i)));
    check_same(compiled(xs, w), program(xs, w), "results");
  }
  CHECK(compiled.stats().recorded_calls <= 5);
}

TEST_CASE("trace loops: the trip count is no size of anything") {
  const auto make = [] {
    return [calls = 0](const Tensors& in) mutable -> Tensors {
      Tensor x = in[0];
      const int trips = 4 + ++calls * 7 % 11;
      for (int i = 0; i < trips; ++i) x = tanh(x * in[1]) + in[0] * 0.5;
      return {x, x * 2.0};
    };
  };
  const CompileStats stats = same_as_plain(make, two_matrices, 40);
  CHECK(stats.recorded_calls == 1);
}

TEST_CASE("trace loops: data decide when a loop ends") {
  const auto make = [] {
    return [](const Tensors& in) -> Tensors {
      Tensor x = in[0];
      int64_t trips = 0;
      while (sum(x * x).item() > 0.5 && trips < 30) x = x * 0.8, ++trips;
      return {x, full({1}, static_cast<double>(trips))};
    };
  };
  same_as_plain(make, two_matrices, 12);
}

TEST_CASE("trace loops: left in the middle of an iteration, and what iterations made is kept") {
  for (int variant = 0; variant < 6; ++variant) {
    INFO("variant " << variant);
    const auto make = [variant] {
      return [variant, calls = 0, old = Tensors()](const Tensors& in) mutable -> Tensors {
        ++calls;
        const int trips = 5 + calls * 3 % 7;
        Tensor x = in[0], y = in[1];
        Tensors kept;
        for (int i = 0; i < trips; ++i) {
          x = tanh(x * in[1]) + y;
          if (variant == 0 && i == trips - 1 && calls % 3 == 0) break;
          if (variant == 1 && i == calls % 4) kept.push_back(x);
          if (variant == 2 && i == trips - 2) kept.push_back(x), kept.push_back(y);
          y = sigmoid(y - x) * 0.5;
          if (variant == 3 && calls > 4 && i == 3) kept.push_back(full({1}, sum(y).item()));
          if (variant == 4 && i % 2 == calls % 2) kept.push_back(y * x);
          if (variant == 5 && i == 0) old.push_back(y);
        }
        if (variant == 5) kept = old;
        kept.push_back(x);
        kept.push_back(y);
        return kept;
      };
    };
    same_as_plain(make, two_matrices, 24);
  }
}

TEST_CASE("trace loops: an exception in the middle of an iteration loses nothing") {
  const auto make = [] {
    return [calls = 0](const Tensors& in) mutable -> Tensors {
      ++calls;
      Tensor x = in[0];
      Tensors kept;
      try {
        for (int i = 0; i < 9; ++i) {
          x = tanh(x * in[1]);
          if (calls % 3 == 0 && i == 5) matmul(x, x);  // shapes do not fit
          x = x + in[0];
          kept.push_back(x);
        }
      } catch (const UserError&) {
        x = x * 3.0;
      }
      kept.push_back(x);
      return kept;
    };
  };
  same_as_plain(make, two_matrices, 15);
}

TEST_CASE("trace loops: a call that throws leaves a way that others may go on") {
  const Tensors w = weights();
  const NoGradGuard no_grad;
  int64_t throws_at = -1;
  const auto program = [&](const Tensor& xs) -> Tensors {
    Tensor h = state(0.3), c = state(-0.2);
    Tensors hs;
    for (int64_t t = 0; t < xs.size(0); ++t) {
      const Tensors next = lstm_step(xs[t], h, c, w);
      h = next[0], c = next[1];
      if (t == throws_at) throw std::runtime_error("enough");
      hs.push_back(h);
    }
    return {stack(hs), c};
  };
  auto compiled = compile(program);
  for (int call = 0; call < 24; ++call) {
    INFO("call " << call);
    const Tensor xs = sequence(6 + call % 5);
    throws_at = call % 4 == 1 ? call % 6 : -1;
    if (throws_at >= 0) {
      CHECK_THROWS_AS(compiled(xs), std::runtime_error);
      continue;
    }
    check_same(compiled(xs), program(xs), "results");
  }
}

TEST_CASE("trace loops: gradients through any length") {
  const auto both = [](auto&& program, int64_t steps) {
    const Tensors w = weights();
    const Tensors results = program(sequence(steps), state(0.3), state(-0.2), w);
    Tensors all = results;
    for (const Tensor& gradient : grad({sum(results[0] * results[0]) + sum(results[2])}, {w[0], w[1], w[2]}))
      all.push_back(gradient);
    return all;
  };
  auto compiled = compile(lstm);
  for (int64_t steps : lengths(30, 3, 15)) {
    INFO(steps << " steps");
    const Tensors ours = both(compiled, steps), expected = both(lstm, steps);
    for (size_t i = 0; i < expected.size(); ++i) {
      const Tensor a = ours[i].detach(), b = expected[i].detach();
      CHECK(max(abs(a - b)).item() <= 1e-12 * (1 + max(abs(b)).item()));
    }
  }
  CHECK(compiled.stats().recorded_calls <= 4);
}

TEST_CASE("trace loops: an index that leaves its row") {
  const NoGradGuard no_grad;
  int64_t odd_step = -1;  // reads another element of the sequence than the steps around it
  const auto program = [&](const Tensor& xs) {
    Tensor x = xs[0];
    for (int64_t t = 1; t < xs.size(0); ++t) x = tanh(x * 0.5 + xs[t == odd_step ? 1 : t]) - 0.1;
    return Tensors{x};
  };
  auto compiled = compile(program);
  for (int64_t call = 0; call < 16; ++call) {
    INFO("call " << call);
    odd_step = call < 4 || call % 3 == 0 ? -1 : 2 + call % 9;
    const Tensor xs = sequence(12, 0.05 * static_cast<double>(call));
    check_same(compiled(xs), program(xs), "result");
  }
}

TEST_CASE("trace loops: a long loop is compiled without being unrolled") {
  // A program of two loops, the second over what the first stacked, with a reshape behind that depends on the length.
  const auto program = [](const Tensor& xs, Tensor h, Tensor c, const Tensors& w) -> Tensors {
    const Tensors first = lstm(xs, h, c, w);
    const Tensors second = backwards(first[0], first[1], first[2], w);
    return {reshape(second[0], {xs.size(0) * kBatch, kHidden}), second[1], first[2]};
  };
  const Tensors w = weights();
  const auto both = [&](auto&& function, int64_t steps, size_t used) {
    const Tensors results = function(sequence(steps), state(0.3), state(-0.2), w);
    Tensors all = results;
    // Where not all results are used, another backward pass is compiled.
    Tensor loss = sum(results[0] * results[0]);
    for (size_t i = 1; i < used; ++i) loss = loss + sum(results[i]);
    for (const Tensor& gradient : grad({loss}, {w[0], w[1], w[2]}, {.create_graph = steps == 40})) all.push_back(gradient);
    if (steps != 40) return all;
    for (const Tensor& gradient : grad({sum(all[3] * all[3])}, {w[0], w[1]})) all.push_back(gradient);
    return all;
  };
  auto compiled = compile(program);
  for (int64_t steps : {6, 7, 40, 1000, 41}) {
    INFO(steps << " steps");
    const size_t used = steps == 41 ? 1 : 3;
    const Tensors ours = both(compiled, steps, used), expected = both(program, steps, used);
    REQUIRE(ours.size() == expected.size());
    for (size_t i = 0; i < expected.size(); ++i) {
      const Tensor a = ours[i].detach(), b = expected[i].detach();
      CHECK(max(abs(a - b)).item() <= (i < 3 ? 0.0 : 1e-11 * (1 + max(abs(b)).item())));
    }
  }
  CHECK(compiled.stats().recorded_calls == 2);
  CHECK_COMPILED(compiled.stats().rolled_plans == 3);
}

TEST_CASE("trace loops: a segment goes on with values of a loop before it") {
  const auto make = [] {
    return [calls = 0](const Tensors& in) mutable -> Tensors {
      const int trips = 4 + ++calls * 5 % 9;
      Tensor x = in[0];
      Tensors all;
      for (int i = 0; i < trips; ++i) all.push_back(x = tanh(x * in[1]) - 0.1);
      const double total = sum(x).item();  // a border
      Tensor y = x + all[0];
      for (int i = 0; i < trips + 1; ++i) y = sigmoid(y * x) + all[static_cast<size_t>(trips) - 2];
      return {y, stack(all), full({1}, total)};
    };
  };
  const CompileStats stats = same_as_plain(make, two_matrices, 30);
  CHECK(stats.recorded_calls <= 18);  // of nine trip counts, with a number that is another each time
}

TEST_CASE("trace loops: one way serves every length behind a read, too") {
  const auto run = [](const Tensor& xs, Tensor h, const Tensor& c, const Tensors& w) {
    if (sum(h).item() > 1e9) h = h + 1.0;
    Tensors results = lstm(xs, h, c, w);
    const Tensor shift = full({}, sum(results[0]).item() > 0 ? 0.5 : -0.5, DType::f64);
    for (const Tensor& result : lstm(xs + shift, h, c, w)) results.push_back(result);
    return results;
  };
  const Tensors w = weights();
  const NoGradGuard no_grad;
  auto compiled = compile(run);
  const auto call = [&](int64_t steps) {
    INFO(steps << " steps");
    const Tensor xs = sequence(steps), h = state(0.3), c = state(-0.2);
    check_same(compiled(xs, h, c, w), run(xs, h, c, w), "results");
  };
  for (int64_t steps : {20, 9}) call(steps);
  const uint64_t learned = compiled.stats().recorded_calls;
  CHECK(learned == 2);
  constexpr int kCalls = 20;
  for (int64_t steps : lengths(kCalls, 3, 30)) call(steps);
  CHECK(compiled.stats().recorded_calls == learned);
  CHECK_COMPILED(compiled.stats().loop_runs >= 2 * kCalls);
}

TEST_CASE("trace loops: pure functions learn a length and enter it from then on") {
  const Tensors w = weights();
  const NoGradGuard no_grad;
  auto compiled = compile(pure, lstm, {.most_keys = 16});
  for (int round = 0; round < 4; ++round)
    for (int64_t steps : {5, 9, 3, 12, 7}) {
      INFO(steps << " steps");
      const Tensor xs = sequence(steps, 0.02 * round), h = state(0.3), c = state(-0.2);
      check_same(compiled(xs, h, c, w), lstm(xs, h, c, w), "results");
    }
  CHECK_COMPILED(compiled.stats().entered_calls >= 5);
  CHECK(compiled.stats().recorded_calls == 2);
}

TEST_CASE("trace loops: a pure function whose trip count changes for one key is found out") {
  int trips = 5;
  auto compiled = compile(pure, [&](const Tensor& x) {
    Tensor y = x;
    for (int i = 0; i < trips; ++i) y = tanh(y * x) + x;
    return y;
  });
  const auto expected = [&](const Tensor& x) {
    Tensor y = x;
    for (int i = 0; i < trips; ++i) y = tanh(y * x) + x;
    return y;
  };
  const Tensor x = numbers({4, 9});
  CHECK(same_bits(compiled(x), expected(x)));
  trips = 7;  // before the first audit
  CHECK(same_bits(compiled(x), expected(x)));
  for (int call = 0; call < 20; ++call) {
    trips = 4 + call % 3;
    CHECK(same_bits(compiled(x), expected(x)));
  }
  CHECK(compiled.stats().entered_calls == 0);
}

namespace {

Tensor nested(const Tensor& xs, Tensor h, int64_t inner) {
  for (int64_t t = 0; t < xs.size(0); ++t) {
    for (int64_t k = 0; k < inner; ++k) h = tanh(h * xs[t]) + h;
    h = sigmoid(h) - 0.5;
  }
  return h;
}

}  // namespace

TEST_CASE("trace loops: a loop in a loop is unrolled in each step of the outer one, which rolls") {
  const NoGradGuard no_grad;
  auto compiled = compile([](const Tensor& xs, const Tensor& h) { return nested(xs, h, 3); });
  for (int64_t steps : {8, 8, 8, 11, 5, 8})
    check_same({compiled(sequence(steps), state(0.3))}, {nested(sequence(steps), state(0.3), 3)}, "outer");
  CHECK(compiled.stats().recorded_calls <= 3);
  CHECK_COMPILED(compiled.stats().loop_runs > 0);
  CHECK_COMPILED(compiled.stats().loop_runs == compiled.stats().plan_runs);  // one loop
}

TEST_CASE("trace loops: where a step of the outer loop is too long, the inner ones roll") {
  const NoGradGuard no_grad;
  constexpr int64_t kInner = 1200;  // of five ops
  auto compiled = compile([](const Tensor& xs, const Tensor& h) { return nested(xs, h, kInner); });
  for (int call = 0; call < 3; ++call)
    check_same({compiled(sequence(3), state(0.3))}, {nested(sequence(3), state(0.3), kInner)}, "inner");
  CHECK_COMPILED(compiled.stats().loop_runs == 3 * compiled.stats().plan_runs);
}
