// What a compiled function does beside matching: stances on new ways, modes, threads, statistics, many sizes.
#include <atomic>
#include <thread>

#include "calque/calque.h"
#include "tests/run/match_harness.h"
#include "tests/support/warnings.h"

using namespace calque;

namespace {

/// Two ways, chosen by a flag.
Tensor either(const Tensor& x, bool flag) { return flag ? tanh(x) + 1.0 : exp(x) * 2.0; }

}  // namespace

TEST_CASE("on_recompile = error: a new way throws, known ways go on") {
  auto compiled = compile(&either, {.name = "strict", .on_recompile = OnRecompile::error});
  for (int call = 0; call < 3; ++call)
    CHECK(same_bits(compiled(numbers({5}), false), either(numbers({5}), false)));
  for (int call = 0; call < 2; ++call) CHECK_THROWS_AS(compiled(numbers({5}), true), UserError);
  CHECK_THROWS_AS(compiled(numbers({6}), false), UserError);
  CHECK(same_bits(compiled(numbers({5}, 2), false), either(numbers({5}, 2), false)));
  CHECK(compiled.stats().recorded_calls == 1);
  CHECK(compiled.stats().branches == 0);
  // Another mode is no new way.
  const NoGradGuard guard;
  for (int call = 0; call < 3; ++call)
    CHECK(same_bits(compiled(numbers({5}), false), either(numbers({5}), false)));
}

TEST_CASE("on_recompile = error: what was held when it throws has its value") {
  Tensor kept;
  auto compiled = compile(
      [&](const Tensor& x, bool flag) {
        kept = x * 3.0;
        return either(kept, flag);
      },
      {.name = "strict_kept", .on_recompile = OnRecompile::error});
  for (int call = 0; call < 3; ++call) compiled(numbers({5}, call), false);
  CHECK_THROWS_AS(compiled(numbers({5}, 9), true), UserError);
  CHECK(same_bits(kept, numbers({5}, 9) * 3.0));
}

TEST_CASE("on_recompile = eager: a new way runs and is not recorded; warn: it is recorded") {
  for (const OnRecompile stance : {OnRecompile::eager, OnRecompile::warn, OnRecompile::record}) {
    auto compiled = compile(&either, {.name = "lenient", .on_recompile = stance});
    for (int call = 0; call < 12; ++call) {
      const Tensor x = numbers({5}, call);
      CHECK(same_bits(compiled(x, call % 3 == 2), either(x, call % 3 == 2)));
    }
    const CompileStats stats = compiled.stats();
    CHECK(stats.recorded_calls == (stance == OnRecompile::eager ? 1 : 2));
    CHECK(stats.branches == (stance == OnRecompile::eager ? 0 : 1));
    CHECK(stats.recompilations == (stance == OnRecompile::eager ? 0 : 1));
    CHECK_COMPILED(stats.plan_runs == (stance == OnRecompile::eager ? 7 : 10));
  }
}

namespace {

std::string in_stance_test(int line) { return "stance_test.cpp:" + std::to_string(line); }

constexpr int kLineOfExp = __LINE__ + 4, kLineOfTanh = kLineOfExp + 1;
/// Three ways, each beginning with an op on a line of its own; the third on that of the second.
Tensor one_of_three(const Tensor& x, int way) {
  if (way > 0)
    return way == 1 ? exp(x) : sigmoid(x);
  return tanh(x);
}

constexpr int kLineOfSum = __LINE__ + 2;
Tensor sum_along(const Tensor& x, int axis) {
  return sum(x, {axis});
}

/// What is warned of while each way is called three times.
template <class Function>
std::vector<std::string> warnings_of(Function function, const CompileOptions& options, int ways, CompileStats& stats) {
  const test::Warnings warnings;
  auto compiled = compile(function, options);
  const Tensor x = numbers({2, 2, 2, 2, 2});
  for (int way = 0; way < ways; ++way)
    for (int call = 0; call < 3; ++call) CHECK(same_bits(compiled(x, way), function(x, way)));
  stats = compiled.stats();
  return warnings.sentences();
}

}  // namespace

TEST_CASE("on_recompile = warn: one warning for each new way, with what is new and its line") {
  CompileStats stats;
  CHECK(warnings_of(&one_of_three, {.name = "warning_op", .on_recompile = OnRecompile::warn}, 3, stats) ==
        std::vector{"warning_op: exp at " + in_stance_test(kLineOfExp) + " is new where tanh at " +
                        in_stance_test(kLineOfTanh) + " was recorded",
                    "warning_op: sigmoid at " + in_stance_test(kLineOfExp) + " is new where tanh at " +
                        in_stance_test(kLineOfTanh) + " was recorded"});
  CHECK(stats.recompilations == 2);
  // Two warnings may say the same.
  const std::string attributes = "warning_axis: sum at " + in_stance_test(kLineOfSum) + " has other attributes than recorded before";
  CHECK(warnings_of(&sum_along, {.name = "warning_axis", .on_recompile = OnRecompile::warn}, 3, stats) ==
        std::vector{attributes, attributes});
  CHECK(stats.recompilations == 2);
  CHECK(warnings_of(&sum_along, {.name = "silent_axis"}, 3, stats).empty());
}

TEST_CASE("on_recompile = warn: more values held than before is said, too") {
  const test::Warnings warnings;
  Tensor kept;
  bool keeps = false;
  auto compiled = compile(
      [&](const Tensor& x) {
        const Tensor y = tanh(x);
        if (keeps) kept = y;
        return y * 2.0;
      },
      {.name = "warning_kept", .on_recompile = OnRecompile::warn});
  for (int call = 0; call < 8; ++call) {
    keeps = call >= 4;
    CHECK(same_bits(compiled(numbers({5}, call)), tanh(numbers({5}, call)) * 2.0));
  }
  CHECK_COMPILED(warnings.sentences() ==
                 std::vector<std::string>{"warning_kept: more values of a known way are held than before"});
  CHECK(warnings.sentences().size() == compiled.stats().recompilations);
}

TEST_CASE("the bound on branches is said once, with what kept changing and its line") {
  CompileStats stats;
  const std::vector<std::string> of_axes = warnings_of(&sum_along, {.name = "bound_axis", .most_branches = 3}, 5, stats);
  REQUIRE(of_axes.size() == 1);
  CHECK(of_axes[0].starts_with("bound_axis went more than 3 different ways and stays eager where it takes a new one."));
  CHECK(of_axes[0].find("What kept changing: attributes of sum at " + in_stance_test(kLineOfSum) + ";") != std::string::npos);
  CHECK(stats.branches == 3);
  const std::vector<std::string> of_ops = warnings_of(&one_of_three, {.name = "bound_op", .most_branches = 1}, 3, stats);
  REQUIRE(of_ops.size() == 1);
  CHECK(of_ops[0].find("What kept changing: which of 2 ops comes; tanh at " + in_stance_test(kLineOfTanh) + " was the first;") !=
        std::string::npos);
}

TEST_CASE("gradient and training modes have roots of their own") {
  nn::Dropout dropout(0.5);
  const Tensor w = numbers({4}).set_requires_grad();
  auto compiled = compile([&](const Tensor& x) { return dropout.is_training() ? x * w : x + w; });
  const auto plain = [&](const Tensor& x) { return dropout.is_training() ? x * w : x + w; };
  for (int call = 0; call < 24; ++call) {
    INFO("call " << call);
    dropout.train(call % 3 != 0);
    const auto run = [&] {
      const Tensor x = numbers({4}, call), y = compiled(x), expected = plain(x);
      CHECK(same_bits(y, expected));
      CHECK(y.requires_grad() == expected.requires_grad());
    };
    if (call % 2)
      run();
    else
      no_grad(run);
  }
  const CompileStats stats = compiled.stats();
  CHECK(stats.recorded_calls == 4);
  CHECK(stats.branches == 0);
  CHECK(stats.recompilations == 0);
  CHECK_COMPILED(stats.plan_runs == 20);
}

TEST_CASE("many sizes: right, and bounded") {
  const auto function = [](const Tensor& x) { return sum(tanh(x) * 2.0, {0}); };
  auto compiled = compile(function, {.name = "many_sizes", .most_branches = 10});
  auto entered = compile(pure, function, {.name = "many_sizes_pure", .most_branches = 10, .most_keys = 5});
  for (int round = 0; round < 4; ++round)
    for (int size = 1; size <= 30; ++size) {
      const Tensor x = numbers({size, 3}, round);
      CHECK(same_bits(compiled(x), function(x)));
      CHECK(same_bits(entered(x), function(x)));
    }
  CHECK(compiled.stats().branches <= 10);
  CHECK(entered.stats().keys <= 5);
}

TEST_CASE("a busy function: others run eagerly, or wait") {
  for (const WhenBusy when_busy : {WhenBusy::eager, WhenBusy::wait}) {
    std::atomic<int> inside = 0, most_inside = 0;
    auto compiled = compile(
        [&](const Tensor& x) {
          most_inside = std::max(most_inside.load(), ++inside);
          const Tensor y = tanh(x) * 2.0;
          std::this_thread::sleep_for(std::chrono::microseconds(300));
          --inside;
          return y + 1.0;
        },
        {.when_busy = when_busy});
    std::atomic<int> wrong = 0;
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t)
      threads.emplace_back([&, t] {
        for (int call = 0; call < 25; ++call) {
          const Tensor x = numbers({7}, t + 0.1 * call);
          if (!same_bits(compiled(x), tanh(x) * 2.0 + 1.0)) ++wrong;
        }
      });
    for (std::thread& thread : threads) thread.join();
    CHECK(wrong == 0);
    const CompileStats stats = compiled.stats();
    CHECK(stats.calls + stats.eager_calls == 100);
    if (when_busy == WhenBusy::wait) {
      CHECK(stats.eager_calls == 0);
      CHECK(most_inside == 1);
    }
  }
}

TEST_CASE("a pure function entered by several threads, each with streams of state of its own") {
  struct Stream : nn::Module {
    Stream() { register_carried(state); }
    Tensor step(const Tensor& x) { return state = state ? tanh(state * 0.5 + x) : tanh(x); }
    Tensor state;
  };
  auto step = compile(pure, [](Stream& stream, const Tensor& x) { return stream.step(x); });
  auto shared = compile(pure, [](const Tensor& x) { return exp(x) - 1.0; });
  Stream first;
  for (int call = 0; call < 6;
       ++call) {  // while one thread compiles, the others would run eagerly to their end
    step(first, numbers({6}));
    shared(numbers({6}));
  }
  std::atomic<int> wrong = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&, t] {
      Stream ours, plain;
      for (int call = 0; call < 200; ++call) {
        const Tensor x = numbers({6}, t + 0.01 * call);
        if (!same_bits(step(ours, x), plain.step(x))) ++wrong;
        if (!same_bits(shared(x), exp(x) - 1.0)) ++wrong;
      }
    });
  for (std::thread& thread : threads) thread.join();
  CHECK(wrong == 0);
  CHECK(step.explain().find("found not to be") == std::string::npos);
  CHECK_COMPILED(shared.stats().entered_calls > 0);
  CHECK_COMPILED(step.stats().entered_calls > 0);
}

TEST_CASE("statistics account for every call") {
  auto compiled = compile(pure, [](const Tensor& x) { return tanh(x) * x; });
  for (int call = 0; call < 50; ++call) compiled(numbers({4}, call));
  const CompileStats stats = compiled.stats();
  CHECK(stats.calls == 50);
  CHECK(stats.eager_calls == 0);
  CHECK(stats.trace_nodes == 3);  // two ops and the end
  CHECK(stats.recorded_calls == 1);
  CHECK_COMPILED(stats.calls == stats.entered_calls + stats.audits + 1);
  CHECK_COMPILED(stats.plan_runs == 49);
  CHECK_COMPILED(stats.matched_ops == 2 * stats.audits);
}

TEST_CASE("copies of a compiled function share what was compiled; recursion through a pure function") {
  auto compiled = compile(pure, [](const Tensor& x) { return x * 3.0 + x; });
  auto copy = compiled;
  for (int call = 0; call < 4; ++call) copy(numbers({4}, call));
  CHECK(compiled.stats().calls == 4);
  CHECK_COMPILED(compiled.stats().entered_calls >= 1);
  CompiledPure<std::function<Tensor(const Tensor&, int)>>* self = nullptr;
  std::function<Tensor(const Tensor&, int)> function = [&](const Tensor& x, int depth) -> Tensor {
    return depth == 0 ? x * 0.5 : tanh((*self)(x + 1.0, depth - 1));
  };
  auto recursive = compile(pure, function);
  self = &recursive;
  for (int call = 0; call < 16; ++call) {
    const Tensor x = numbers({7}, call);
    const int depth = call % 3;
    Tensor expected = x;
    for (int i = 0; i < depth; ++i) expected = expected + 1.0;
    expected = expected * 0.5;
    for (int i = 0; i < depth; ++i) expected = tanh(expected);
    CHECK(same_bits(recursive(x, depth), expected));
  }
  CHECK(recursive.stats().keys == 3);
  CHECK_COMPILED(recursive.stats().entered_calls >= 3);
}

TEST_CASE("modules come and go in other threads while pure functions are observed") {
  std::atomic<bool> is_over = false;
  std::thread other([&] {
    while (!is_over) {
      nn::Linear layer(3, 3);
      layer.eval();
    }
  });
  auto compiled = compile(pure, [](const nn::Linear& layer, const Tensor& x) { return layer(x); });
  for (int round = 0; round < 20; ++round) {
    const nn::Linear layer(4, 3);
    for (int call = 0; call < 4; ++call) {
      const Tensor x = numbers({2, 4}, call);
      CHECK(same_bits(compiled(layer, x), layer(x)));
    }
  }
  is_over = true;
  other.join();
}

TEST_CASE("another thread switches modes of its own while pure functions are observed") {
  std::atomic<bool> is_over = false;
  std::thread other([&] {
    nn::Linear layer(3, 3);
    while (!is_over) {
      layer.eval();
      layer.train();
    }
  });
  const nn::Linear layer(4, 3);
  const auto apply = [](const nn::Linear& linear, const Tensor& x) { return linear(x); };
  std::vector<CompiledPure<std::decay_t<decltype(apply)>>> functions;
  const auto call_often = [&](auto& compiled) {
    for (int call = 0; call < 6; ++call) {
      const Tensor x = numbers({2, 4}, call);
      CHECK(same_bits(compiled(layer, x), layer(x)));
    }
  };
  for (int round = 0; round < 50; ++round) {
    functions.push_back(compile(pure, apply));
    call_often(functions.back());
  }
  is_over = true;
  other.join();
  // None was taken for impure: now that modes stay, all are entered.
  for (auto& compiled : functions) {
    const uint64_t before = compiled.stats().entered_calls;
    call_often(compiled);
    CHECK_COMPILED(compiled.stats().entered_calls > before);
  }
}

TEST_CASE("a pure function that switches a mode is found out") {
  nn::Linear layer(3, 3);
  auto compiled = compile(pure, [&](const Tensor& x) {
    layer.eval();
    return x * 2.0;
  });
  for (int call = 0; call < 8; ++call) {
    layer.train();
    compiled(numbers({3}, call));
    CHECK_FALSE(layer.is_training());
  }
  CHECK(compiled.stats().entered_calls == 0);
}
