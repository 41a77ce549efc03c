// What users of other compilers ran into with loops: captured weights, states without gradient, resets inside a batch, lengths,
// loops that end early, weights that are written, more threads than cores.
#include <optional>
#include <random>
#include <set>

#include "calque/gradcheck.h"
#include "calque/pure.h"
#include "runtime/thread_pool.h"
#include "tests/run/loop_programs.h"
#include "tests/support/child.h"
#include "tests/support/sanitized.h"

using namespace calque;
using namespace calque::loop_programs;

namespace {

Tensor state_of_zeros() { return zeros({kBatch, kHidden}, DType::f64); }

using TwoStates = std::function<Tensors(int64_t t, const Tensor& x, const Tensor& h, const Tensor& c)>;

/// The stacked first states, and the last two.
Tensors over_steps(const Tensor& xs, Tensor h, Tensor c, const TwoStates& step) {
  Tensors hs;
  for (int64_t t = 0; t < xs.size(0); ++t) {
    const Tensors next = step(t, xs[t], h, c);
    h = next[0], c = next[1];
    hs.push_back(h);
  }
  return {stack(hs), h, c};
}

/// Gradients of the results' squares by `by`, after the results.
template <class Function>
Tensors with_slopes(Function&& function, const Tensors& by) {
  Tensors all = function();
  Tensor loss = sum(all[0] * all[0]);
  for (size_t i = 1; i < all.size(); ++i) loss = loss + sum(all[i] * all[i]) * 0.1;
  for (const Tensor& gradient : grad(loss, by)) all.push_back(gradient);
  return all;
}

}  // namespace

TEST_CASE("loop traps: captured weights and states, any of which ask for gradients, against finite differences") {
  constexpr int64_t kRows = 2, kColumns = 3;
  for (unsigned asks = 1; asks < 32; ++asks) {
    INFO("bits of what asks for gradients (two weights, two states, the sequence): " << asks);
    Tensors inputs{doubles({kColumns, kColumns}, 0.2), doubles({kColumns, kColumns}, -0.1), doubles({kRows, kColumns}, 0.3),
                   doubles({kRows, kColumns}, -0.2), doubles({5, kRows, kColumns}, 0.1)};
    for (size_t i = 0; i < inputs.size(); ++i)
      if (asks >> i & 1) inputs[i].set_requires_grad();
    Tensor inner, outer;  // captured, and another tensor in each call
    auto compiled = compile([&](const Tensor& xs, Tensor h, Tensor c) -> Tensors {
      Tensors hs;
      for (int64_t t = 0; t < xs.size(0); ++t) {  // the Jacobians of its steps do not commute
        h = tanh(matmul(h, inner) + c * xs[t]);
        c = matmul(c, outer) * 0.5 + h;
        hs.push_back(h);
      }
      return {stack(hs), c};
    });
    const auto function = [&](std::span<const Tensor> in) {
      inner = in[0], outer = in[1];
      return compiled(in[4], in[2], in[3]);
    };
    for (int call = 0; call < 2; ++call) function(inputs);  // recorded, compiled: what is checked runs plans
    const GradcheckResult result = gradcheck(function, inputs, {.second_order = asks % 8 == 7});
    INFO(result.report);
    CHECK(result.passed);
    CHECK_COMPILED(compiled.stats().loop_runs > 10);
    CHECK_COMPILED(compiled.stats().backward_plan_runs >= 1);
  }
}

TEST_CASE("loop traps: a mask of resets is one more sequence of the loop") {
  const Tensors w = weights();
  constexpr int64_t kSteps = 12;
  const auto program = [](const Tensor& xs, const Tensor& resets, const Tensors& w) {
    return over_steps(xs, state(0.3), state(-0.2), [&](int64_t t, const Tensor& x, const Tensor& h, const Tensor& c) {
      const Tensor begins = resets[t];
      return lstm_step(x, where(begins, state_of_zeros(), h), where(begins, state_of_zeros(), c), w);
    });
  };
  auto compiled = compile(program);
  std::mt19937 random(5);
  for (int call = 0; call < 5; ++call) {
    std::vector<double> begins(kSteps * kBatch);
    for (double& begin : begins) begin = random() % 4 == 0;
    begins[5 * kBatch] = 1;  // the first row surely begins again at its sixth step
    const Tensor resets = from_vector(begins, {kSteps, kBatch, 1}) > 0.5, xs = sequence(kSteps, 0.1 * call);
    const Tensors ours = with_slopes([&] { return compiled(xs, resets, w); }, w);
    check_close(ours, with_slopes([&] { return program(xs, resets, w); }, w));
    // A row from its last reset on is a sequence of its own.
    const NoGradGuard no_grad;
    for (int64_t row = 0; row < kBatch; ++row) {
      int64_t last = kSteps - 1;
      while (last >= 0 && begins[static_cast<size_t>(last * kBatch + row)] == 0) --last;
      if (last < 0) continue;
      const Tensor tail = slice(slice(xs, 0, last, kSteps), 1, row, row + 1), none = zeros({1, kHidden}, DType::f64);
      check_close({slice(ours[1].detach(), 0, row, row + 1)}, {lstm(tail, none, none, w)[1].detach()});
    }
  }
  CHECK_COMPILED(compiled.stats().loop_runs == 4);
  CHECK(compiled.stats().recorded_calls == 1);
}

TEST_CASE("loop traps: lengths are a tensor like any other") {
  const Tensors w = weights();
  constexpr int64_t kSteps = 11;
  // The step's number is one of the program, or an element of a sequence of numbers.
  const auto make = [](bool counts_on_host) {
    return [counts_on_host](const Tensor& xs, const Tensor& lengths, const Tensors& w) {
      const Tensor numbers = arange(xs.size(0), DType::i64);
      return over_steps(xs, state_of_zeros(), state_of_zeros(), [&](int64_t t, const Tensor& x, const Tensor& h, const Tensor& c) {
        const Tensor goes_on = counts_on_host ? lengths > static_cast<double>(t) : lengths > numbers[t];
        const Tensors next = lstm_step(x, h, c, w);
        return Tensors{where(goes_on, next[0], h), where(goes_on, next[1], c)};
      });
    };
  };
  for (const bool counts_on_host : {true, false}) {
    const auto program = make(counts_on_host);
    auto compiled = compile(program);
    for (int64_t call = 0; call < 5; ++call) {
      INFO("counted by the host: " << counts_on_host << ", call " << call);
      std::vector<int64_t> lengths;
      for (int64_t row = 0; row < kBatch; ++row) lengths.push_back((call * 5 + row * 4) % (kSteps + 1));
      const Tensor asked = from_vector(lengths, {kBatch, 1}), xs = sequence(kSteps, 0.1 * static_cast<double>(call));
      const Tensors ours = with_slopes([&] { return compiled(xs, asked, w); }, w);
      check_close(ours, with_slopes([&] { return program(xs, asked, w); }, w));
      const NoGradGuard no_grad;
      for (int64_t row = 0; row < kBatch; ++row) {
        const Tensor own = slice(slice(xs, 0, 0, lengths[static_cast<size_t>(row)]), 1, row, row + 1);
        const Tensor none = zeros({1, kHidden}, DType::f64);
        const Tensors alone = lstm(own, none, none, w);
        check_close({slice(ours[1].detach(), 0, row, row + 1)}, {alone[alone.size() - 2].detach()});
      }
    }
    CHECK(compiled.stats().recorded_calls == 1);
    CHECK_COMPILED(compiled.stats().loop_runs >= 4);
  }
}

TEST_CASE("loop traps: backward costs the steps that ran") {
  const Tensors w = weights();
  double limit = 0;
  int64_t steps = 0;
  const auto program = [&](const Tensor& xs) {  // data decide when it ends: each step is read
    Tensor h = state(0.3), c = state(-0.2);
    double total = 0;
    for (steps = 0; steps < xs.size(0) && total <= limit; ++steps) {
      const Tensors next = lstm_step(xs[steps], h, c, w);
      h = next[0], c = next[1];
      total += sum(abs(h)).item();
    }
    return Tensors{h};
  };
  const Tensor xs = sequence(40, 0.05).set_requires_grad();
  auto compiled = compile(program);
  std::set<int64_t> lengths;
  for (const double asked : {1e9, 1e9, 1e9, 150.0, 1e9, 60.0, 0.0, 300.0}) {
    limit = asked;
    INFO("limit " << limit);
    const Tensors expected = with_slopes([&] { return program(xs); }, {xs, w[0], w[1]});
    const int64_t eager_steps = steps;
    const uint64_t before = compiled.stats().backward_plan_runs;
    const Tensors ours = with_slopes([&] { return compiled(xs); }, {xs, w[0], w[1]});
    check_close(ours, expected);
    CHECK(steps == eager_steps);
    CHECK(compiled.stats().backward_plan_runs - before <= static_cast<uint64_t>(steps));  // one plan for each step that ran
    lengths.insert(steps);
    if (steps < 40) CHECK(max(abs(slice(ours[1], 0, steps, 40))).item() == 0);  // nothing flows to the others
  }
  CHECK(lengths.size() >= 4);
  CHECK_COMPILED(compiled.stats().backward_plan_runs >= 80);
}

TEST_CASE("loop traps: a loop that the host leaves early is a loop of so many steps there and back") {
  const Tensors w = weights();
  int64_t most = 0;
  const auto program = [&](const Tensor& xs) {
    Tensor h = state(0.3), c = state(-0.2);
    for (int64_t t = 0; t < xs.size(0) && t < most; ++t) {
      const Tensors next = lstm_step(xs[t], h, c, w);
      h = next[0], c = next[1];
    }
    return Tensors{h};
  };
  auto compiled = compile(program);
  for (int64_t asked : {30, 6, 6, 11, 40, 3, 1}) {
    INFO(asked << " steps");
    most = asked;
    const Tensor xs = sequence(40, 0.05).set_requires_grad();
    check_close(with_slopes([&] { return compiled(xs); }, {xs, w[0], w[1]}), with_slopes([&] { return program(xs); }, {xs, w[0], w[1]}));
    if (asked < 3 || !can_compile() || compiled.stats().plan_runs == 0) continue;
    const std::string length = "{length = " + std::to_string(asked) + ", ";
    if (asked != 30) CHECK(compiled.dump("prepare").find(length) != std::string::npos);
    if (asked != 30) CHECK(compiled.dump("backward-lower").find(length) != std::string::npos);
  }
}

namespace {

/// The weights of a small f32 LSTM whose products are packed.
Tensors packed_weights() {
  manual_seed(3);
  Tensors w{randn({24, 128}) * 0.2, randn({32, 128}) * 0.2, randn({128}) * 0.1};
  for (Tensor& weight : w) weight = weight.detach().set_requires_grad();
  return w;
}

/// Each way in which a program may write its weights between calls.
void write_weights(const Tensors& w, int call) {
  const NoGradGuard no_grad;
  switch (call % 6) {
    case 0: break;
    case 1: Tensor(w[1]).mul_(0.9); break;
    case 2: Tensor(w[0]).assign_(w[0] - 0.01); break;
    case 3: select(w[1], 0, 5).mul_(-1.5); break;                 // one row
    case 4: slice(w[0], 1, 32, 64).add_(0.05); break;             // one gate
    default: Tensor(w[2]).assign_(w[2] * 0.5), transpose(w[1]).mul_(1.01); break;
  }
}

/// Calls a compiled LSTM, in between writes its weights, and compares with eager execution.
template <class Function>
void check_never_stale(Function& compiled, bool trains) {
  const Tensors w = packed_weights();
  for (int call = 0; call < 20; ++call) {
    INFO("call " << call);
    write_weights(w, call);
    const int64_t steps = call < 8 ? 9 : 5 + call % 3;
    const Tensor xs = numbers({steps, 16, 24}, -1 + 0.01 * call, 0.11), h = numbers({16, 32}, 0.1, 0.02), c = numbers({16, 32}, -0.1, 0.02);
    std::optional<NoGradGuard> no_grad;
    if (!trains) no_grad.emplace();
    const Tensors ours = compiled(xs, h, c, w), expected = lstm(xs, h, c, w);
    check_same(ours, expected, "results");
    if (!trains) continue;
    const Tensors slopes = grad({sum(ours[0] * ours[0])}, {w[0], w[1], w[2]}),
                  right = grad({sum(expected[0] * expected[0])}, {w[0], w[1], w[2]});
    for (size_t i = 0; i < slopes.size(); ++i) {
      INFO("gradient " << i);
      CHECK(max(abs(slopes[i] - right[i])).item() <= 2e-5 * max(abs(right[i])).item());
    }
  }
  CHECK_COMPILED(compiled.stats().loop_runs >= 10);
}

}  // namespace

TEST_CASE("loop traps: weights written between calls, and no stale packed weight: inference and training, matched and entered") {
  for (const bool trains : {false, true}) {
    INFO("trains: " << trains);
    auto matched = compile(lstm);
    check_never_stale(matched, trains);
    auto entered = compile(pure, lstm);
    check_never_stale(entered, trains);
    CHECK_COMPILED(entered.stats().entered_calls >= 5);
  }
}

TEST_CASE("loop traps: weights that a training step writes itself") {
  const auto step = [](const Tensor& xs, const Tensors& w) {
    const Tensors results = lstm(xs, numbers({16, 32}, 0.1, 0.02), numbers({16, 32}, -0.1, 0.02), w);
    const Tensor loss = mean(results[0] * results[0]);
    const Tensors slopes = grad(loss, w);
    const NoGradGuard no_grad;
    for (size_t i = 0; i < w.size(); ++i) Tensor(w[i]).assign_(w[i] - slopes[i] * 0.5);
    return loss.detach();
  };
  const Tensors ours = packed_weights(), expected = packed_weights();
  auto compiled = compile(step);
  for (int call = 0; call < 12; ++call) {
    INFO("call " << call);
    const Tensor xs = numbers({6 + call % 3, 16, 24}, -1 + 0.01 * call, 0.11);
    const double loss = compiled(xs, ours).item(), right = step(xs, expected).item();
    CHECK(loss == Approx(right).epsilon(1e-4));
    const NoGradGuard no_grad;
    for (size_t i = 0; i < ours.size(); ++i) CHECK(max(abs(ours[i] - expected[i])).item() <= 1e-4 * max(abs(expected[i])).item());
  }
  CHECK_COMPILED(compiled.stats().loop_runs >= 10);
}

namespace {

/// A loop that a team of threads shares, trained for a few calls; results and gradients are compared with those of one thread.
void check_team(int calls) {
  manual_seed(3);
  Tensors w{randn({64, 256}) * 0.05, randn({64, 256}) * 0.05, randn({256})};
  for (Tensor& weight : w) weight = weight.detach().set_requires_grad();
  const Tensor xs = randn({6, 16, 64}), h = randn({16, 64}), c = randn({16, 64});
  const auto train = [&](auto& function) {
    const Tensors results = function(xs, h, c, w);
    Tensors all = grad({sum(results[0] * results[0])}, {w[0], w[1], w[2]});
    for (const Tensor& result : results) all.push_back(result.detach());
    return all;
  };
  const Tensors expected = train(lstm);
  auto compiled = compile(lstm);
  Tensors first;
  for (int call = 0; call < calls; ++call) {
    const Tensors ours = train(compiled);
    for (size_t i = 0; i < ours.size(); ++i) {
      INFO("call " << call << ", tensor " << i);
      if (i >= 3) CHECK(same_bits(ours[i], expected[i]));
      CHECK(max(abs(ours[i] - expected[i])).item() <= 2e-5 * max(abs(expected[i])).item());
      if (call > 1) CHECK(same_bits(ours[i], first[i]));  // who computes what depends on no clock
    }
    if (call == 1) first = ours;
  }
  CHECK_COMPILED(compiled.stats().backward_plan_runs == static_cast<uint64_t>(calls) - 1);
}

}  // namespace

TEST_CASE("loop traps: training with eight times as many threads as cores") {
  ThreadPool& pool = ThreadPool::instance();
  const int before = pool.num_threads();
  pool.set_num_threads(8 * before);
  check_team(5);
  pool.set_num_threads(before);
}

TEST_CASE("loop traps: training beside two processes that never rest") {
  const std::vector<std::string> spins{"/bin/sh", "-c", "while :; do :; done"};
  const test::Child one(spins, {}), other(spins, {});
  check_team(8);
}
