// Loops over time: they roll, give eager execution's bits forward and its gradients within rounding, and what looks like a
// loop but is none stays right.
#include "tests/run/loop_programs.h"
#include "tests/support/threads.h"

using namespace calque;
using namespace calque::loop_programs;

TEST_CASE("loops: eager execution's bits, one loop run for each loop of the program") {
  for (const Loop& loop : loops())
    for (int64_t steps : {3, 4, 7, 20}) {
      INFO(loop.name << ", " << steps << " steps");
      const Tensors w = weights();
      const NoGradGuard no_grad;
      auto compiled = compile(loop.run);
      for (int call = 0; call < 4; ++call) {
        const Tensor xs = doubles({steps, kBatch, kHidden}, 0.1 * call), h = doubles({kBatch, kHidden}, 0.3),
                     c = doubles({kBatch, kHidden}, -0.2);
        check_same(compiled(xs, h, c, w), loop.run(xs, h, c, w), "results");
      }
      if (steps >= 7) CHECK_COMPILED(compiled.stats().loop_runs == 3u * static_cast<unsigned>(loop.loops));
    }
}

TEST_CASE("loops: gradients within rounding of the tape's") {
  for (const Loop& loop : loops())
    for (int64_t steps : {3, 7, 20}) {
      INFO(loop.name << ", " << steps << " steps");
      auto compiled = compile(loop.run);
      const Tensors expected = with_gradients(loop.run, steps);
      for (int call = 0; call < 3; ++call) check_close(with_gradients(compiled, steps), expected);
      CHECK_COMPILED(compiled.stats().backward_plan_runs >= 2);
    }
}

TEST_CASE("loops: lengths change from call to call, down to nothing") {
  auto compiled = compile(lstm);
  for (int64_t steps : {5, 5, 2, 0, 9, 1, 5, 2, 0, 1, 9, 3, 3}) {
    INFO(steps << " steps");
    const Tensors w = weights();
    const NoGradGuard no_grad;
    const Tensor xs = doubles({steps, kBatch, kHidden}, 0.1), h = doubles({kBatch, kHidden}, 0.3),
                 c = doubles({kBatch, kHidden}, -0.2);
    check_same(compiled(xs, h, c, w), lstm(xs, h, c, w), "results");
  }
}

TEST_CASE("loops: second gradients") {
  const auto second = [](auto&& program) {
    const Tensors w = weights();
    const Tensor xs = doubles({6, kBatch, kHidden}, 0.05);
    const Tensors results = program(xs, doubles({kBatch, kHidden}, 0.3), doubles({kBatch, kHidden}, -0.2), w);
    const Tensors first = grad({sum(results[0] * results[0])}, {w[0], w[1], w[2]}, {.create_graph = true});
    return grad({sum(first[0] * first[0]) + sum(first[1] * first[1])}, {w[0], w[1], w[2]});
  };
  auto compiled = compile(lstm);
  const Tensors expected = second(lstm);
  for (int call = 0; call < 3; ++call) check_close(second(compiled), expected);
}

TEST_CASE("loops: a host that decides, reads and keeps in the middle of a loop") {
  for (int variant = 0; variant < 3; ++variant) {
    INFO("variant " << variant);
    const auto make = [variant] {
      return [variant, calls = 0](const Tensors& in) mutable -> Tensors {
        ++calls;
        Tensor state = in[0];
        Tensors kept;
        for (int64_t t = 0; t < 12; ++t) {
          const bool coin = variant == 0 && (t * 7 + calls) % 5 < 2;
          state = coin ? tanh(state * in[1]) + 0.5 : sigmoid(state * in[1]) - in[0];
          if (variant == 1 && t == 6 && sum(state).item() > 0) state = state * 0.5;
          if (variant == 2 && t == calls) kept.push_back(state);
        }
        kept.push_back(state);
        return kept;
      };
    };
    same_as_plain(make, two_matrices, 8);
  }
}

TEST_CASE("loops: weights that are written between calls are packed anew") {
  Tensors w = weights();
  const NoGradGuard no_grad;
  auto compiled = compile(lstm);
  const Tensor xs = doubles({8, kBatch, kHidden}, 0.1), h = doubles({kBatch, kHidden}, 0.3), c = doubles({kBatch, kHidden}, 0.1);
  for (int call = 0; call < 6; ++call) {
    check_same(compiled(xs, h, c, w), lstm(xs, h, c, w), "results");
    if (call % 2 == 1) w[1].assign_(w[1] * 0.9);
  }
}

TEST_CASE("loops: wide enough for a team of threads") {
  manual_seed(3);
  const NoGradGuard no_grad;
  const Tensors w{randn({128, 512}) * 0.05, randn({128, 512}) * 0.05, randn({512})};
  auto compiled = compile(lstm);
  for (int call = 0; call < 4; ++call) {
    const Tensor xs = randn({25, 16, 128}), h = randn({16, 128}), c = randn({16, 128});
    check_same(compiled(xs, h, c, w), lstm(xs, h, c, w), "results");
  }
  CHECK_COMPILED(compiled.stats().loop_runs == 3);
}

TEST_CASE("loops: eight times as many threads as cores wait for each other and give the same bits") {
  manual_seed(3);
  const NoGradGuard no_grad;
  const Tensors w{randn({64, 256}) * 0.05, randn({64, 256}) * 0.05, randn({256})};
  const Tensor xs = randn({6, 16, 64}), h = randn({16, 64}), c = randn({16, 64});
  const Tensors expected = lstm(xs, h, c, w);
  const test::Threads threads(8 * num_threads());
  auto compiled = compile(lstm);
  for (int call = 0; call < 4; ++call) check_same(compiled(xs, h, c, w), expected, "results");
  CHECK_COMPILED(compiled.stats().loop_runs == 3);
}

TEST_CASE("loops: scan is the loop in one call, either way, with any state, and of no steps") {
  struct State {
    Tensor h, c;
  };
  for (const ScanDirection direction : {ScanDirection::forward, ScanDirection::reverse}) {
    const auto scanned = [direction](const Tensor& xs, const Tensor& h, const Tensor& c, const Tensors& w) -> Tensors {
      const auto [state, outputs] = scan(
          [&](const State& state, const Tensor& x) {
            const Tensors next = lstm_step(x, state.h, state.c, w);
            return std::pair(State{next[0], next[1]}, next[0] * 2.0);
          },
          State{h, c}, xs, direction);
      return {outputs, state.h, state.c};
    };
    const Tensors w = weights();
    const Tensor h = doubles({kBatch, kHidden}, 0.3), c = doubles({kBatch, kHidden}, -0.2);
    auto compiled = compile(scanned);
    for (int64_t steps : {6, 6, 6, 1, 0}) {
      const Tensor xs = doubles({steps, kBatch, kHidden}, 0.1);
      check_same(compiled(xs, h, c, w), scanned(xs, h, c, w), "results");
    }
    CHECK_COMPILED(compiled.stats().loop_runs >= 2);
    const Tensor xs = doubles({6, kBatch, kHidden}, 0.1);
    const Tensors by_hand = direction == ScanDirection::forward ? lstm(xs, h, c, w) : backwards(xs, h, c, w);
    const Tensor expected = direction == ScanDirection::forward ? by_hand[0] : permute(by_hand[0], {1, 0, 2});
    CHECK(same_bits(scanned(xs, h, c, w)[0], expected * 2.0));
    check_close(with_gradients(compiled, 6), with_gradients(scanned, 6));
  }
  CHECK_THROWS_AS(scan([](const Tensor& h, const Tensor&) { return std::pair(h, h); }, zeros({2}), zeros({})), UserError);
}

TEST_CASE("loops: a pure function enters the loop") {
  manual_seed(4);
  const NoGradGuard no_grad;
  const Tensors w = weights();
  auto compiled = compile(pure, [](const Tensor& xs, Tensor h, Tensor c, const Tensors& w) { return lstm(xs, h, c, w); });
  for (int call = 0; call < 12; ++call) {
    const Tensor xs = doubles({9, kBatch, kHidden}, 0.1 * call), h = doubles({kBatch, kHidden}, 0.3), c = h * 0.5;
    check_same(compiled(xs, h, c, w), lstm(xs, h, c, w), "results");
  }
  CHECK_COMPILED(compiled.stats().entered_calls > 0);
}
