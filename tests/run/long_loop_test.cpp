// Recording a long loop: what is kept of it does not grow with its length, and it is followed through whatever comes then.
#include "calque/pure.h"
#include "compiler/long_loop.h"
#include "tests/run/loop_programs.h"
#include "tests/support/meanwhile.h"
#include "tests/support/sanitized.h"

namespace calque::loop_programs {

namespace {

using test::Meanwhile;

struct Recorded {
  int64_t calls, nodes;
};

/// What the first call had recorded when it was over but for its end, and what was left of it.
struct FirstCall {
  int64_t inside, after;
};

FirstCall recorded_of(int64_t steps, bool gradients) {
  const Tensors w = weights();
  std::optional<NoGradGuard> no_grad;
  if (!gradients) no_grad.emplace();
  std::function<CompileStats()> stats;
  int64_t inside = 0;
  auto compiled = compile([&](const Tensor& xs) {
    const Tensors results = lstm(xs, state(0.3), state(-0.2), w);
    inside = static_cast<int64_t>(stats().trace_nodes);
    return results;
  });
  stats = [&] { return compiled.stats(); };
  const Tensor xs = sequence(steps);
  const FirstCall first{(compiled(xs), inside), static_cast<int64_t>(compiled.stats().trace_nodes)};
  check_same(compiled(xs), lstm(xs, state(0.3), state(-0.2), w), "results");
  CHECK(compiled.stats().recorded_calls == 1);
  return first;
}

/// What calls of all lengths leave, the longest first.
template <class Program>
Recorded recorded_by(const Program& program, size_t most_nodes) {
  const Meanwhile few(LongLoop::most_nodes, most_nodes);
  const Tensors w = weights();
  const NoGradGuard no_grad;
  auto compiled = compile(program);
  for (int64_t steps : {90, 90, 91, 40, 7, 2, 150, 33}) {
    INFO(steps << " steps");
    const Tensor xs = sequence(steps, 0.01 * static_cast<double>(steps));
    check_same(compiled(xs, w), program(xs, w), "results");
  }
  return {static_cast<int64_t>(compiled.stats().recorded_calls), static_cast<int64_t>(compiled.stats().trace_nodes)};
}

template <class Program>
void check_counted_as_recorded(const Program& program) {
  const Recorded counted = recorded_by(program, 64), recorded = recorded_by(program, 1 << 20);
  CHECK(counted.calls == recorded.calls);
  CHECK(counted.nodes == recorded.nodes);
}

}  // namespace

TEST_CASE("long loops: what a first call keeps does not grow with its length") {
  for (bool gradients : {false, true}) {
    INFO("gradients " << gradients);
    const FirstCall ten = recorded_of(10, gradients), hundred = recorded_of(100, gradients);
    const FirstCall thousand = recorded_of(1000, gradients), longest = recorded_of(test::scaled(10000), gradients);
    CHECK(hundred.inside > 5 * ten.inside);
    CHECK(thousand.inside < 12000);
    CHECK(longest.inside < 12000);
    CHECK(ten.after == hundred.after);
    CHECK(ten.after == thousand.after);
    CHECK(ten.after == longest.after);
  }
}

TEST_CASE("long loops: layers, both ways, and a step of three before") {
  check_counted_as_recorded([](const Tensor& xs, const Tensors& w) -> Tensors {
    const Tensors first = lstm(xs, state(0.3), state(-0.2), w), second = lstm(first[0], first[1], state(0.1), w);
    const Tensors back = backwards(second[0], first[2], second[2], w);
    return {second[0], back[0], back[1], first[0][xs.size(0) / 2]};
  });
  check_counted_as_recorded([](const Tensor& xs, const Tensors& w) -> Tensors {
    Tensors hs{state(0.3), state(0.2), state(0.1)};
    for (int64_t t = 0; t < xs.size(0); ++t)
      hs.push_back(tanh(slice(matmul(hs[hs.size() - 3], w[1]) + matmul(xs[t], w[0]), 1, 0, kHidden)));
    return {stack(hs), hs.back()};
  });
}

TEST_CASE("long loops: another step follows, wherever in the iteration") {
  for (int64_t odd : {20, 61, 89, 90}) {
    INFO("step " << odd);
    check_counted_as_recorded([odd](const Tensor& xs, const Tensors& w) -> Tensors {
      Tensor h = state(0.3), c = state(-0.2);
      for (int64_t t = 0; t < xs.size(0); ++t) {
        const Tensors next = lstm_step(xs[t], h, c, w);
        h = next[0], c = next[1];
        if (t == odd) c = c * 0.5;
      }
      return {h, c};
    });
  }
}

TEST_CASE("long loops: left in mid-iteration, where nothing can be rolled back into a loop") {
  const auto program = [](const Tensor& xs, const Tensors& w) -> Tensors {
    Tensor h = state(0.3);
    for (int64_t t = 0;; ++t) {
      h = tanh(h * 0.9);
      if (t == xs.size(0)) break;
      h = h + xs[t] * w[3];
    }
    return {h, h * 2.0};
  };
  const auto reduced = [&](const Tensor& xs, const Tensors&) { return program(xs, Tensors(4, state(0.7))); };
  check_counted_as_recorded(reduced);
}

TEST_CASE("long loops: a number that changes, a value read, a cut function") {
  const Meanwhile few(LongLoop::most_nodes, 64);
  const Tensors w = weights();
  const NoGradGuard no_grad;
  const auto program = [&w](const Tensor& xs, int number) -> Tensors {
    Tensor h = state(0.3), c = state(-0.2);
    double total = 0;
    for (int64_t t = 0; t < xs.size(0); ++t) {
      const Tensors next = lstm_step(xs[t], h, c, w);
      h = next[0] + (t > 60 ? 0.1 * static_cast<double>(t % 5) : 0.5), c = next[1];
      if (number % 3 == 1 && t % 40 == 39) total += sum(h).item();
      if (number % 3 == 2 && (t * number) % 7 == 3) c = -c;
    }
    return {h, c, full({1}, total, DType::f64)};
  };
  int number = 0;
  auto compiled = compile([&](const Tensor& xs) { return program(xs, number); });
  for (; number < 40; ++number) {
    INFO("call " << number);
    const Tensor xs = sequence(80 + 7 * (number % 4), 0.1 * number);
    check_same(compiled(xs), program(xs, number), "results");
  }
}

TEST_CASE("long loops: with a read in each step") {
  const Tensors w = weights();
  const NoGradGuard no_grad;
  std::function<CompileStats()> stats;
  uint64_t inside = 0;
  const auto program = [&](const Tensor& xs) -> Tensors {
    Tensor h = state(0.3), c = state(-0.2), total = full({}, 0.0, DType::f64);
    for (int64_t t = 0; t < xs.size(0); ++t) {
      const Tensors next = lstm_step(xs[t], h, c, w);
      h = next[0], c = next[1];
      total = total + sum(h);
      if (total.item() > 1e9) break;
      inside = std::max(inside, static_cast<uint64_t>(stats().trace_nodes));
    }
    return {h * 2.0, c, total};
  };
  auto compiled = compile(program);
  stats = [&] { return compiled.stats(); };
  for (int64_t steps : {test::scaled(2000), int64_t{30}, int64_t{300}, int64_t{31}, test::scaled(2000), int64_t{5}}) {
    INFO(steps << " steps");
    const Tensor xs = sequence(steps, 0.01 * static_cast<double>(steps % 7));
    check_same(compiled(xs), program(xs), "results");
  }
  CHECK(inside < 4200);
  CHECK(compiled.stats().recorded_calls <= 4);
  CHECK(compiled.stats().trace_nodes < 100);
}

TEST_CASE("long loops: pure functions learn the length at the second call") {
  const Meanwhile few(LongLoop::most_nodes, 64);
  const Tensors w = weights();
  const NoGradGuard no_grad;
  auto compiled = compile(pure, lstm);
  for (int call = 0; call < 6; ++call) {
    INFO("call " << call);
    const Tensor xs = sequence(120, 0.02 * call), h = state(0.3), c = state(-0.2);
    check_same(compiled(xs, h, c, w), lstm(xs, h, c, w), "results");
  }
  CHECK_COMPILED(compiled.stats().entered_calls >= 2);
  CHECK(compiled.stats().recorded_calls == 1);
}

}  // namespace calque::loop_programs
