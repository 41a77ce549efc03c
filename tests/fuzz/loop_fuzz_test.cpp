// Random loops over time: compiled, they give eager execution's bits at lengths that change from call to call, and its gradients
// within rounding. CALQUE_FUZZ_LOOPS=<n> says how many, CALQUE_FUZZ_LOOP_SEED=<n> from which seed on.
#include <catch2/catch.hpp>
#include <fmt/format.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <optional>
#include <sstream>
#include <utility>

#include "compiler/find_iterations.h"
#include "compiler/long_loop.h"
#include "compiler/plan.h"
#include "runtime/kernels/isa.h"
#include "tests/fuzz/environment.h"
#include "tests/fuzz/random_loop.h"
#include "tests/support/meanwhile.h"
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

/// Loops that look like others and are not quite, among those that rolled and those that did not.
struct NearMiss {
  const char* name;
  bool (*is)(const RandomLoop& loop);
  bool may_roll = true;  // else it ends a segment in each step
  int rolled = 0, not_rolled = 0;
};
NearMiss near_misses[] = {
    {"a number that changes", [](const RandomLoop& loop) { return loop.habits.number_changes; }},
    {"t < T && t < k", [](const RandomLoop& loop) { return loop.habits.most_steps < 1000; }},
    {"a carried alias", carries_alias},
    {"states that begin as one", [](const RandomLoop& loop) { return loop.habits.shares_start && loop.states > 1; }},
    {"both ways", [](const RandomLoop& loop) { return loop.habits.both_ways; }},
    {"a counter", [](const RandomLoop& loop) { return loop.habits.counts; }},
    {"steps that are tensors from outside", [](const RandomLoop& loop) { return loop.habits.outside_steps != OutsideSteps::none; }},
    {"a write into the sequence", [](const RandomLoop& loop) { return loop.habits.write != SequenceWrite::none; }, false},
};

/// Where programs that once failed are, or beside the executable. Every later test runs them.
std::string write_failing_loop(const RandomLoop& loop, uint32_t seed, const std::string& difference) {
  const std::string name = fmt::format("loop_{}.loop", seed);
  for (const std::filesystem::path& folder :
       {std::filesystem::path("tests/fuzz/regressions"), std::filesystem::read_symlink("/proc/self/exe").parent_path()}) {
    std::ofstream file(folder / name);
    file << "// seed " << seed << ": " << difference << "\n" << print_loop(loop);
    if (file.flush()) return folder / name;
  }
  return "nowhere: no folder can be written to";
}

Tensors all_of(const LoopInputs& inputs) {
  Tensors all = inputs.sequences;
  all.insert(all.end(), inputs.states.begin(), inputs.states.end());
  all.insert(all.end(), inputs.weights.begin(), inputs.weights.end());
  all.insert(all.end(), inputs.step_leaves.begin(), inputs.step_leaves.end());
  return all;
}

struct Outcome {
  Tensors results, gradients;
};

/// With gradients: of all inputs, where something has one.
template <class Function>
Outcome results_of(Function& function, const RandomLoop& loop, int64_t steps, int call, bool with_gradients, double noise = 0) {
  manual_seed(static_cast<uint64_t>(call) + 1);
  const LoopInputs inputs = loop_inputs(loop, steps, call, with_gradients, noise);
  Tensors results = function(inputs.sequences, inputs.states, inputs.weights, inputs.steps, call);
  const auto with_sequences = [&](Tensors all) {  // which it may have written to
    for (const Tensor& sequence : inputs.sequences) all.push_back(sequence.detach());
    return all;
  };
  if (!with_gradients) return {with_sequences(results), {}};
  Tensor loss = full({}, 0.0, DType::f64);
  for (const Tensor& result : results)
    if (result.requires_grad()) loss = loss + sum(result * result);
  if (!loss.requires_grad()) return {with_sequences(results), {}};
  loss.backward();
  Outcome outcome{with_sequences(results), {}};
  for (const Tensor& input : all_of(inputs)) outcome.gradients.push_back(input.grad());
  return outcome;
}

/// Nothing where the program is refused: a gradient needs what was written over.
template <class Function>
std::optional<Outcome> results_or_refusal(Function& function, const RandomLoop& loop, int64_t steps, int call,
                                          bool with_gradients, double noise = 0) try {
  return results_of(function, loop, steps, call, with_gradients, noise);
} catch (const UserError&) {
  return std::nullopt;
}

/// A gradient of zeros where eager execution has none: of a first state that reaches only steps of which nothing is used.
bool is_none(const Tensor& gradient) { return max(abs(gradient)).item() == 0; }

/// By how much each moves at most; nothing where `moved` is empty.
std::vector<double> moves_of(const Tensors& from, const Tensors& moved) {
  std::vector<double> moves(from.size(), 0);
  for (size_t i = 0; i < std::min(from.size(), moved.size()); ++i)
    if (from[i] && moved[i]) moves[i] = max(abs(moved[i].detach() - from[i].detach())).item();
  return moves;
}

/// `moves`: of each gradient, when the inputs are other numbers in their last digits.
std::string difference_of(const Tensors& ours, const Tensors& expected, bool exact, const std::vector<double>& moves) {
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
    if (!(error <= 1e-11 * scale + 10 * moves[i])) return fmt::format("gradient {} differs by {:.3g} of {:.3g}", i, error, scale);
  }
  return "";
}

/// How long the sequences of a call are. A third of the programs always get the same length, a long one. With the others, most
/// lengths are those near which things differ. Long loops are compiled without being unrolled, the later ones from what is known of the
/// first.
int64_t steps_in(int call, uint32_t seed, std::mt19937& random) {
  if (seed % 3 == 0) return 24 + seed / 3 % 30;
  if (call < 2) return 6;
  const bool is_long = call == 3 || call >= 5;
  return static_cast<int64_t>(is_long ? 30 + random() % 20 : random() % 11);
}

/// What a compiled loop does that eager execution does not; empty when nothing.
std::string difference(const RandomLoop& loop, uint32_t seed, bool with_gradients, Counts& counts) {
  // The number of the call is host state: no argument of the compiled function.
  HostState plain_host, our_host;
  const auto plain = [&](const Tensors& sequences, const Tensors& states, const Tensors& weights, const Tensors& steps, int call) {
    plain_host.call = call;
    return run_loop(loop, {sequences, states, weights, steps, {}}, plain_host);
  };
  auto compiled = compile([&](const Tensors& sequences, const Tensors& states, const Tensors& weights, const Tensors& steps) {
    return run_loop(loop, {sequences, states, weights, steps, {}}, our_host);
  });
  const auto ours = [&](const Tensors& sequences, const Tensors& states, const Tensors& weights, const Tensors& steps, int call) {
    our_host.call = call;
    return compiled(sequences, states, weights, steps);
  };
  std::mt19937 random(seed);
  std::string text;
  // In half of the programs most iterations of the longer loops are counted, not recorded.
  const Meanwhile most(LongLoop::most_nodes, seed / 3 % 2 == 0 ? kMostNodesOfIteration : 8 + seed % 64);
  // In most of them products before a loop are made in pieces of a few iterations.
  const Meanwhile rows(Plan::piece_rows, 1 + seed % 37);
  // In half of them a team shares every loop, however small.
  const Meanwhile shared(Plan::shares_every_loop, seed / 5 % 2 == 0);
  for (int call = 0; call < 7 && text.empty(); ++call) {
    const int64_t steps = steps_in(call, seed, random);
    std::optional<NoGradGuard> no_grad;
    if (!with_gradients) no_grad.emplace();
    const HostState plain_before = plain_host, our_before = our_host;
    const std::optional<Outcome> expected = results_or_refusal(plain, loop, steps, call, with_gradients);
    const std::optional<Outcome> actual = results_or_refusal(ours, loop, steps, call, with_gradients);
    if (expected && !actual) return fmt::format("only the compiled one refuses call {} of {} steps", call, steps);
    if (!expected) our_host = plain_host;  // it left the loop at another step than one that is not refused
    if (!expected) continue;
    const bool is_exact = loop.gradient == GradientInside::none;
    const auto compare = [&](const Outcome& from, const Outcome& moved) {
      text = difference_of(actual->results, expected->results, is_exact, moves_of(from.results, moved.results));
      if (text.empty()) text = difference_of(actual->gradients, expected->gradients, false, moves_of(from.gradients, moved.gradients));
    };
    compare(*expected, {});
    // A program may blow up what is rounded, or, where large numbers cancel, one engine what the other finds to be 0.
    const auto compare_with_noise = [&](const auto& engine, HostState& host, const HostState& host_before, const Outcome& from) {
      if (text.empty()) return;
      const auto moved = [&] {
        const HostState behind = std::exchange(host, host_before);
        constexpr double kLastDigits = 0x1p-52;
        const std::optional<Outcome> outcome = results_or_refusal(engine, loop, steps, call, with_gradients, kLastDigits);
        host = behind;
        return outcome;
      };
      const std::optional<Outcome> first = moved(), again = moved();
      const bool is_the_same = first && again && difference_of(first->results, again->results, true, {}).empty() &&
                               difference_of(first->gradients, again->gradients, true, {}).empty();
      if (is_the_same) compare(from, *first);  // what is another number each time is no rounding
    };
    compare_with_noise(plain, plain_host, plain_before, *expected);
    compare_with_noise(ours, our_host, our_before, *actual);
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
    const std::string printed = print_loop(loop);
    if (print_loop(parse_loop(printed)) != printed) FAIL_CHECK("the loop does not survive printing:\n" << printed);
    const uint64_t loop_runs = counts.loop_runs;
    const std::string text = difference(loop, seed, seed % 2 == 0, counts);
    for (NearMiss& near : near_misses)
      if (near.is(loop)) ++(counts.loop_runs > loop_runs ? near.rolled : near.not_rolled);
    if (text.empty()) continue;
    ++failures;
    FAIL_CHECK("seed " << seed << ": " << text << "\n" << print_loop(loop) << "written to " << write_failing_loop(loop, seed, text));
  }
  std::cout << loop_count << " loops: " << counts.calls << " calls, " << counts.recorded << " of them recorded, "
            << counts.plan_runs << " runs of plans, " << counts.rolled_plans << " made without unrolling, "
            << counts.loop_runs << " of loops, " << counts.gradients << " with gradients\n";
  if (loop_count >= 100) CHECK(counts.rolled_plans > counts.calls / 50);
  if (kernels::isa_level() != kernels::IsaLevel::baseline && loop_count >= 100) CHECK(counts.loop_runs > counts.calls / 10);
  for (const NearMiss& near : near_misses) {
    INFO(near.name << ": " << near.rolled << " rolled, " << near.not_rolled << " did not");
    std::cout << "  " << near.name << ": " << near.rolled << " rolled, " << near.not_rolled << " did not\n";
    if (kernels::isa_level() != kernels::IsaLevel::baseline && loop_count >= 500) {
      CHECK(near.not_rolled > 0);
      if (near.may_roll) CHECK(near.rolled > 0);
    }
  }
}

TEST_CASE("loops that once failed") {
  Counts counts;
  for (const auto& entry : std::filesystem::directory_iterator("tests/fuzz/regressions")) {
    if (entry.path().extension() != ".loop") continue;
    INFO(entry.path().filename().string());
    std::stringstream text;
    text << std::ifstream(entry.path()).rdbuf();
    const RandomLoop loop = parse_loop(text.str());
    for (uint32_t seed : {1u, 2u, 3u})
      for (const bool with_gradients : {false, true}) CHECK(difference(loop, seed, with_gradients, counts) == "");
  }
}
