// Functions that only ever see one length: their loops are compiled without being unrolled, too.
#include "tests/run/loop_programs.h"

using namespace calque;
using namespace calque::loop_programs;

namespace {

using Program = std::function<Tensors(const Tensor& xs, const Tensors& w)>;

constexpr int64_t kSingleLength = 60;

/// Calls the compiled program three times with one length; each gives the bits of eager execution. Gives its statistics.
CompileStats same_bits_without_gradients(const Program& program, const Tensor& xs) {
  const Tensors w = weights();
  const NoGradGuard no_grad;
  auto compiled = compile(program);
  for (int call = 0; call < 3; ++call) {
    INFO("call " << call);
    const Tensor changed = xs * (1.0 + call);
    check_same(compiled(changed, w), program(changed, w), "results");
  }
  return compiled.stats();
}

/// The same with gradients of the weights, which agree within rounding.
CompileStats same_with_gradients(const Program& program, const Tensor& xs) {
  const auto both = [&](auto&& function) {
    const Tensors w = weights();
    Tensors all = function(xs, w);
    Tensor loss = sum(all[0] * all[0]);
    for (size_t i = 1; i < all.size(); ++i) loss = loss + sum(all[i]);
    for (const Tensor& gradient : grad({loss}, {w[0], w[1], w[2]})) all.push_back(gradient);
    return all;
  };
  auto compiled = compile(program);
  const size_t results = program(xs, weights()).size();
  for (int call = 0; call < 3; ++call) {
    INFO("call " << call);
    const Tensors ours = both(compiled), expected = both(program);
    REQUIRE(ours.size() == expected.size());
    for (size_t i = 0; i < expected.size(); ++i) {
      INFO("result " << i);
      const Tensor a = ours[i].detach(), b = expected[i].detach();
      CHECK(max(abs(a - b)).item() <= (i < results ? 0.0 : 1e-11 * (1 + max(abs(b)).item())));
    }
  }
  return compiled.stats();
}

/// A plan is made in the second call, and kept.
void check_rolled_once(const CompileStats& stats) {
  CHECK(stats.recorded_calls == 1);
  CHECK_COMPILED(stats.rolled_plans == 1);
  CHECK_COMPILED(stats.plan_runs == 2);
}

void check_program(const Program& program, const Tensor& xs) {
  check_rolled_once(same_bits_without_gradients(program, xs));
  check_rolled_once(same_with_gradients(program, xs));
}

}  // namespace

TEST_CASE("single length: a loop over a sequence, whose outputs are stacked") {
  check_program([](const Tensor& xs, const Tensors& w) { return lstm(xs, state(0.3), state(-0.2), w); }, sequence(kSingleLength));
}

TEST_CASE("single length: a loop that begins at the end") {
  check_program([](const Tensor& xs, const Tensors& w) { return backwards(xs, state(0.3), state(-0.2), w); }, sequence(kSingleLength));
}

TEST_CASE("single length: a loop that ends before its sequence does") {
  const auto program = [](int64_t first, int64_t end) {
    return [first, end](const Tensor& xs, const Tensors& w) -> Tensors {
      Tensor h = state(0.3), c = state(-0.2);
      Tensors hs;
      for (int64_t t = first; t < end; ++t) {
        const Tensors next = lstm_step(xs[t], h, c, w);
        h = next[0], c = next[1];
        hs.push_back(h);
      }
      return {stack(hs), c};
    };
  };
  check_program(program(0, kSingleLength / 2), sequence(kSingleLength));
  check_program(program(kSingleLength / 2, kSingleLength), sequence(kSingleLength));
  check_program(program(1, kSingleLength - 1), sequence(kSingleLength));
}

TEST_CASE("single length: two loops, the second over what the first stacked, the same way or the other") {
  for (const auto second : {lstm, backwards}) {
    const auto program = [second](const Tensor& xs, const Tensors& w) -> Tensors {
      const Tensors first = lstm(xs, state(0.3), state(-0.2), w);
      const Tensors outputs = second(first[0], first[1], first[2], w);
      return {outputs[0], outputs[1], first[2]};
    };
    check_program(program, sequence(kSingleLength));
  }
}

TEST_CASE("single length: loops that run differently often") {
  const auto program = [](const Tensor& xs, const Tensors& w) -> Tensors {
    const Tensors first = lstm(xs, state(0.3), state(-0.2), w);
    // A part of what the first loop made, then a loop of its own length, then one that is too short to be shortened.
    Tensor h = first[1], c = first[2];
    for (int64_t t = 0; t < kSingleLength / 2; ++t) {
      const Tensors next = lstm_step(first[0][t], h, c, w);
      h = next[0], c = next[1];
    }
    Tensors last;
    for (int64_t t = 0; t < 6; ++t) last.push_back(h = tanh(matmul(h, w[3])) - 0.1);
    return {first[0], stack(last), c};
  };
  check_program(program, sequence(kSingleLength));
}

TEST_CASE("single length: what is behind the loop depends on the length") {
  const auto program = [](const Tensor& xs, const Tensors& w) -> Tensors {
    const Tensors outputs = lstm(xs, state(0.3), state(-0.2), w);
    const Tensor rows = reshape(outputs[0], {kSingleLength * kBatch, kHidden});
    return {matmul(rows, w[3]), outputs[0][kSingleLength - 1] * 2.0, slice(outputs[0], 0, 1, kSingleLength), sum(rows) / double{kSingleLength}};
  };
  check_program(program, sequence(kSingleLength));
}

TEST_CASE("single length: a slice of all that the program asks for stays") {
  const auto program = [](const Tensor& xs, const Tensors& w) -> Tensors {
    const Tensors outputs = lstm(slice(xs, 0, 0, kSingleLength), state(0.3), state(-0.2), w);
    return {slice(outputs[0], 0, 0, kSingleLength) * 2.0, outputs[1]};
  };
  check_program(program, sequence(kSingleLength));
}

TEST_CASE("single length: a step that reads what was made two steps before") {
  // Two steps are one iteration.
  const auto program = [](const Tensor& xs, const Tensors& w) -> Tensors {
    Tensor h = state(0.3), before = state(-0.2);
    for (int64_t t = 0; t < xs.size(0); ++t) {
      const Tensor next = tanh(matmul(h, w[3]) + before * xs[t]);
      before = std::exchange(h, next);
    }
    return {h, before};
  };
  check_rolled_once(same_bits_without_gradients(program, sequence(kSingleLength)));
}

TEST_CASE("single length: a view of the sequence and values of the first and last steps are kept") {
  const auto program = [](const Tensor& xs, const Tensors& w) -> Tensors {
    Tensor h = state(0.3), c = state(-0.2), x;
    Tensors hs;
    for (int64_t t = 0; t < xs.size(0); ++t) {
      x = xs[t];
      const Tensors next = lstm_step(x, h, c, w);
      h = next[0], c = next[1];
      hs.push_back(h);
    }
    return {stack(hs, 1), x, hs[1], hs[kSingleLength - 2]};
  };
  check_program(program, sequence(kSingleLength));
}

TEST_CASE("single length: what is behind the loop has operands of the recorded length, and a loss") {
  const Tensor targets = doubles({kSingleLength * kBatch, kHidden}, 0.7);
  const auto program = [targets](const Tensor& xs, const Tensors& w) -> Tensors {
    const Tensors outputs = lstm(xs, state(0.3), state(-0.2), w);
    const Tensor rows = matmul(reshape(outputs[0], {kSingleLength * kBatch, kHidden}), w[3]);
    return {mean(square(rows - targets)), concat({outputs[0], xs}, 0), outputs[0] + xs};
  };
  check_program(program, sequence(kSingleLength));
}

TEST_CASE("single length: a value from the middle of a loop is read behind it") {
  const auto program = [](bool stacks) {
    return [stacks](const Tensor& xs, const Tensors& w) -> Tensors {
      Tensor h = state(0.3), c = state(-0.2);
      Tensors hs;
      for (int64_t t = 0; t < xs.size(0); ++t) {
        const Tensors next = lstm_step(xs[t], h, c, w);
        h = next[0], c = next[1];
        hs.push_back(h);
      }
      if (stacks) return {stack(Tensors(hs.begin() + 20, hs.end())), c};
      return {stack(hs), hs[20] * hs[2] + hs[static_cast<size_t>(xs.size(0)) - 2], c};
    };
  };
  for (const bool stacks : {false, true}) {
    same_bits_without_gradients(program(stacks), sequence(kSingleLength));
    same_with_gradients(program(stacks), sequence(kSingleLength));
    // Of other lengths, too.
    const NoGradGuard no_grad;
    const Tensors w = weights();
    auto compiled = compile(program(stacks));
    for (const int64_t steps : {60, 61, 45, 70, 70, 33}) {
      INFO(steps << " steps");
      check_same(compiled(sequence(steps), w), program(stacks)(sequence(steps), w), "results");
    }
  }
}

TEST_CASE("single length: a state from before the loop is stacked with its outputs") {
  const auto program = [](const Tensor& xs, const Tensors& w) -> Tensors {
    Tensor h = state(0.3), c = state(-0.2);
    Tensors hs = {h};
    for (int64_t t = 0; t < xs.size(0); ++t) {
      const Tensors next = lstm_step(xs[t], h, c, w);
      h = next[0], c = next[1];
      hs.push_back(h);
    }
    return {stack(hs), c};
  };
  same_bits_without_gradients(program, sequence(kSingleLength));
  same_with_gradients(program, sequence(kSingleLength));
}

TEST_CASE("single length: what grows unevenly is unrolled") {
  // Of every third step the output is a result of its own.
  const auto program = [](const Tensor& xs, const Tensors& w) -> Tensors {
    Tensor h = state(0.3), c = state(-0.2);
    Tensors hs;
    for (int64_t t = 0; t < xs.size(0); ++t) {
      const Tensors next = lstm_step(xs[t], h, c, w);
      h = next[0], c = next[1];
      if (t % 3 == 0) hs.push_back(h);
    }
    return hs;
  };
  const CompileStats stats = same_bits_without_gradients(program, sequence(30));
  CHECK(stats.rolled_plans == 0);
  CHECK_COMPILED(stats.plan_runs == 2);
}

TEST_CASE("single length: steps that leap back over others, of which results read one chain only") {
  const NoGradGuard no_grad;
  const Tensor x = doubles({2, 5}, 0.1);
  for (int64_t back : {2, 3, 4, 5})
    for (int64_t steps = 24; steps <= 60; ++steps) {
      INFO(back << " steps back, " << steps << " steps");
      const auto leap = [&](const Tensor& start) {
        Tensors past(static_cast<size_t>(back), start);
        Tensor state = start, inner = start;
        for (int64_t t = 0; t < steps; ++t) {
          Tensor& last = past[static_cast<size_t>(t % back)];
          inner = layer_norm(last) * 0.5;
          last = state = tanh(inner);
        }
        return Tensors{state, inner};
      };
      auto compiled = compile(leap);
      for (int call = 0; call < 3; ++call) check_same(compiled(x), leap(x), "results");
    }
}
