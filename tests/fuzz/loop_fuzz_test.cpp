// Random loops over time: compiled, they give eager execution's bits at lengths that change from call to call, and its gradients
// within rounding. CALQUE_FUZZ_LOOPS=<n> says how many, CALQUE_FUZZ_LOOP_SEED=<n> from which seed on.
#include <catch2/catch.hpp>
#include <fmt/format.h>

#include <cstdlib>
#include <iostream>
#include <optional>

#include "compiler/find_iterations.h"
#include "runtime/kernels/isa.h"
#include "tests/fuzz/environment.h"
#include "tests/fuzz/random_loop.h"
#include "tests/support/most_recorded_nodes.h"
#include "tests/support/same_bits.h"
#include "tests/support/sanitized.h"

using namespace calque;
using namespace calque::test;

namespace {

using Tensors = std::vector<Tensor>;

// Before the library reads its settings, once.
const int64_t loop_count = take_from_environment("CALQUE_FUZZ_LOOPS", scaled(1000));
const int64_t first_loop = take_from_environment("CALQUE_FUZZ_LOOP_SEED", 1);

struct Counts {
  uint64_t plan_runs = 0, rolled_plans = 0, loop_runs = 0, recorded = 0, calls = 0, gradients = 0;
};

Tensors all_of(const LoopInputs& inputs) {
  Tensors all = inputs.sequences;
  all.insert(all.end(), inputs.states.begin(), inputs.states.end());
  all.insert(all.end(), inputs.weights.begin(), inputs.weights.end());
  return all;
}

struct Outcome {
  Tensors results, gradients;
};

/// With gradients: of all inputs, where something has one.
template <class Function>
Outcome results_of(Function& function, const RandomLoop& loop, int64_t steps, int call, bool with_gradients) {
  manual_seed(static_cast<uint64_t>(call) + 1);
  const LoopInputs inputs = loop_inputs(loop, steps, call, with_gradients);
  Tensors results = function(inputs.sequences, inputs.states, inputs.weights, call);
  if (!with_gradients) return {results, {}};
  Tensor loss = full({}, 0.0, DType::f64);
  for (const Tensor& result : results)
    if (result.requires_grad()) loss = loss + sum(result * result);
  if (!loss.requires_grad()) return {results, {}};
  loss.backward();
  Outcome outcome{results, {}};
  for (const Tensor& input : all_of(inputs)) outcome.gradients.push_back(input.grad());
  return outcome;
}

/// Nothing where the program is refused: a gradient needs what was written over.
template <class Function>
std::optional<Outcome> results_or_refusal(Function& function, const RandomLoop& loop, int64_t steps, int call,
                                          bool with_gradients) try {
  return results_of(function, loop, steps, call, with_gradients);
} catch (const UserError&) {
  return std::nullopt;
}

/// A gradient of zeros where eager execution has none: of a first state that reaches only steps of which nothing is used.
bool is_none(const Tensor& gradient) { return max(abs(gradient)).item() == 0; }

std::string difference_of(const Tensors& ours, const Tensors& expected, bool exact) {
  if (ours.size() != expected.size()) return "another number of tensors";
  for (size_t i = 0; i < ours.size(); ++i) {
    if (!exact && ours[i] && !expected[i] && is_none(ours[i])) continue;
    if (static_cast<bool>(ours[i]) != static_cast<bool>(expected[i])) return "gradient " + std::to_string(i) + (ours[i] ? " should be missing" : " is missing");
    if (!ours[i]) continue;
    const Tensor a = ours[i].detach(), b = expected[i].detach();
    if (a.shape() != b.shape()) return "tensor " + std::to_string(i) + " has another shape";
    if (ours[i].requires_grad() != expected[i].requires_grad()) return "requires_grad of tensor " + std::to_string(i);
    if (same_bits(a, b)) continue;
    if (exact) return "result " + std::to_string(i) + " differs";
    const double error = max(abs(a - b)).item(), scale = 1 + max(abs(b)).item();
    if (!(error <= 1e-11 * scale)) return "gradient " + std::to_string(i) + " differs by " + std::to_string(error);
  }
  return "";
}

/// How long the sequences of a call are. A third of the programs always get the same length, a long one. With the others, most
/// lengths are those near which things differ. Long loops are compiled without being unrolled.
int64_t steps_in(int call, uint32_t seed, std::mt19937& random) {
  if (seed % 3 == 0) return 24 + seed / 3 % 30;
  if (call < 2) return 6;
  const bool is_long = call % 3 == 0;
  return static_cast<int64_t>(is_long ? 30 + random() % 20 : random() % 11);
}

/// What a compiled loop does that eager execution does not; empty when nothing.
std::string difference(const RandomLoop& loop, uint32_t seed, bool with_gradients, Counts& counts) {
  const auto plain = [&](const Tensors& sequences, const Tensors& states, const Tensors& weights, int call) {
    return run_loop(loop, {sequences, states, weights}, call);
  };
  // The number of the call is host state: no argument of the compiled function.
  int number = 0;
  auto compiled = compile([&](const Tensors& sequences, const Tensors& states, const Tensors& weights) {
    return run_loop(loop, {sequences, states, weights}, number);
  });
  const auto ours = [&](const Tensors& sequences, const Tensors& states, const Tensors& weights, int call) {
    number = call;
    return compiled(sequences, states, weights);
  };
  std::mt19937 random(seed);
  std::string text;
  // In half of the programs most iterations of the longer loops are counted, not recorded.
  const MostRecordedNodes most(seed / 3 % 2 == 0 ? kMostNodesOfIteration : 8 + seed % 64);
  for (int call = 0; call < 7 && text.empty(); ++call) {
    const int64_t steps = steps_in(call, seed, random);
    std::optional<NoGradGuard> no_grad;
    if (!with_gradients) no_grad.emplace();
    const std::optional<Outcome> expected = results_or_refusal(plain, loop, steps, call, with_gradients);
    const std::optional<Outcome> actual = results_or_refusal(ours, loop, steps, call, with_gradients);
    if (expected && !actual) return fmt::format("only the compiled one refuses call {} of {} steps", call, steps);
    if (!expected) continue;
    text = difference_of(actual->results, expected->results, loop.gradient == GradientInside::none);
    if (text.empty()) text = difference_of(actual->gradients, expected->gradients, false);
    if (!text.empty()) text += " in call " + std::to_string(call) + " of " + std::to_string(steps) + " steps";
    counts.gradients += !expected->gradients.empty();
  }
  const CompileStats stats = compiled.stats();
  counts.plan_runs += stats.plan_runs, counts.loop_runs += stats.loop_runs, counts.recorded += stats.recorded_calls;
  counts.calls += stats.calls, counts.rolled_plans += stats.rolled_plans;
  return text;
}

}  // namespace

TEST_CASE("random loops: eager and compiled agree at every length") {
  constexpr int kMostFailures = 5;
  Counts counts;
  int failures = 0;
  for (int64_t i = 0; i < loop_count && failures < kMostFailures; ++i) {
    const auto seed = static_cast<uint32_t>(first_loop + i);
    std::mt19937 random(seed);
    const RandomLoop loop = random_loop(random);
    const std::string text = difference(loop, seed, seed % 2 == 0, counts);
    if (text.empty()) continue;
    ++failures;
    FAIL_CHECK("seed " << seed << ": " << text << "\n" << describe(loop));
  }
  std::cout << loop_count << " loops: " << counts.calls << " calls, " << counts.recorded << " of them recorded, "
            << counts.plan_runs << " runs of plans, " << counts.rolled_plans << " made without unrolling, "
            << counts.loop_runs << " of loops, " << counts.gradients << " with gradients\n";
  if (loop_count >= 100) CHECK(counts.rolled_plans > counts.calls / 50);
  if (kernels::isa_level() != kernels::IsaLevel::baseline && loop_count >= 100) CHECK(counts.loop_runs > counts.calls / 10);
}
