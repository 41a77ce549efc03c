// A thousand lengths in random order through one compiled function: what is recorded, generated and kept has a bound.
#include <malloc.h>

#include <algorithm>
#include <cstdio>
#include <random>

#include "calque/pure.h"
#include "compiler/packed_weight.h"
#include "tests/run/loop_programs.h"
#include "tests/support/sanitized.h"

using namespace calque;
using namespace calque::loop_programs;

namespace {

constexpr int64_t kLongest = 1000;
constexpr uint64_t kPlansKept = 128;  // kMostPlans of compiler/segment.h
constexpr uint64_t kFewKeys = 16;

/// A small cell, of which even a thousand steps are quick.
Tensors small_loop(const Tensor& xs, Tensor h, const Tensors& w) {
  Tensors hs;
  for (int64_t t = 0; t < xs.size(0); ++t) hs.push_back(h = tanh(matmul(h, w[3]) + xs[t]) * 0.9);
  if (hs.empty()) return {h};
  return {stack(hs), h};
}

/// Results for any number of steps, from one eager run of the longest: a step knows nothing of those after it.
class Prefixes {
 public:
  explicit Prefixes(const Tensors& w) {
    hs_ = small_loop(xs_, state(0.3), w)[0];
  }
  Tensor xs(int64_t steps) const { return slice(xs_, 0, 0, steps); }
  Tensors results(int64_t steps) const {
    if (steps == 0) return {state(0.3)};
    return {slice(hs_, 0, 0, steps), hs_[steps - 1]};
  }

 private:
  Tensor xs_ = sequence(kLongest), hs_;
};

std::vector<int64_t> random_lengths(int64_t count) {
  std::mt19937 random(11);
  std::vector<int64_t> all;
  for (int64_t i = 0; i < count; ++i) all.push_back(3 + static_cast<int64_t>(random() % (kLongest - 2)));
  return all;
}

/// The number in "plans for 12 sizes" of an explanation.
uint64_t plans_kept(const std::string& explanation) {
  const size_t at = explanation.find("plans for ");
  unsigned long count = 0;
  if (at != std::string::npos) std::sscanf(explanation.c_str() + at, "plans for %lu sizes", &count);
  return count;
}

size_t bytes_in_use() { return mallinfo2().uordblks + mallinfo2().hblkhd; }

}  // namespace

TEST_CASE("many lengths: a weight is packed once for all of them, and again when it has changed") {
  const NoGradGuard no_grad;
  Tensors w = weights();
  auto compiled = compile(small_loop);
  const size_t before = PackedWeight::count();
  for (int round = 0; round < 3; ++round) {
    for (int64_t steps = 20; steps < 30; ++steps) {
      INFO("round " << round << ", " << steps << " steps");
      check_same(compiled(sequence(steps), state(0.3), w), small_loop(sequence(steps), state(0.3), w), "results");
    }
    CHECK_COMPILED(PackedWeight::count() == before + 1);
    w[3].assign_(w[3] * 0.9);
  }
  CHECK_COMPILED(compiled.stats().plan_runs >= 28);
}

TEST_CASE("many lengths: one way, a few kernels, a bounded number of plans and bytes") {
  const Tensors w = weights();
  const NoGradGuard no_grad;
  const Prefixes expected(w);
  auto compiled = compile(small_loop);
  const auto call = [&](int64_t steps) {
    INFO(steps << " steps");
    check_same(compiled(expected.xs(steps), state(0.3), w), expected.results(steps), "results");
  };
  for (int64_t steps : {900, 1000}) call(steps);
  const CompileStats learned = compiled.stats();
  CHECK(learned.recorded_calls == 2);
  const std::vector<int64_t> lengths = random_lengths(can_compile() ? test::scaled(1000) : 100);
  size_t bytes_midway = 0;
  for (size_t i = 0; i < lengths.size(); ++i) {
    call(lengths[i]);
    if (i == lengths.size() / 3) bytes_midway = bytes_in_use();
  }
  const CompileStats after = compiled.stats();
  CHECK(after.recorded_calls == 2);
  CHECK(after.trace_nodes == learned.trace_nodes);
  CHECK_COMPILED(after.plan_runs == lengths.size());
  CHECK_COMPILED(after.rolled_plans >= lengths.size() / 2);
  CHECK_COMPILED(after.code_generations <= 6);
  CHECK_COMPILED(plans_kept(compiled.explain()) == kPlansKept);
  if (!test::kSanitized) CHECK(bytes_in_use() < bytes_midway + (4 << 20));
  for (int repeat = 0; repeat < 3; ++repeat)
    for (int64_t steps : {0, 1, 2, 3, 1000}) call(steps);
  CHECK(compiled.stats().recorded_calls <= 5);  // lengths without a loop are ways of their own
}

TEST_CASE("many lengths: gradients, within the same bounds") {
  const auto all_of = [](auto& function, int64_t steps) {
    const Tensors w = weights();
    const Tensor h = state(0.3).set_requires_grad();
    Tensors all = function(sequence(steps), h, w);
    const Tensor loss = sum(all[0] * all[0]) + sum(all.back());
    for (const Tensor& gradient : grad({loss}, {w[3], h})) all.push_back(gradient);
    return all;
  };
  auto compiled = compile(small_loop);
  std::vector<int64_t> lengths = random_lengths(test::scaled(150));
  lengths.insert(lengths.end(), {0, 1, 2, 0, 1, 2, 3});
  for (size_t i = 0; i < lengths.size(); ++i) {
    const int64_t steps = lengths[i] % 200;
    INFO(steps << " steps");
    if (i % 4 == 0 || steps < 4) check_close(all_of(compiled, steps), all_of(small_loop, steps));
    else all_of(compiled, steps);
  }
  CHECK(compiled.stats().recorded_calls <= 6);
  CHECK_COMPILED(compiled.stats().code_generations <= 24);
  CHECK_COMPILED(compiled.stats().backward_plan_runs >= lengths.size() - 8);
  CHECK_COMPILED(plans_kept(compiled.explain()) <= kPlansKept);
}

TEST_CASE("many lengths: a pure function's table keeps as many as it may") {
  const Tensors w = weights();
  const NoGradGuard no_grad;
  const Prefixes expected(w);
  auto compiled = compile(pure, small_loop, {.most_keys = kFewKeys});
  std::vector<int64_t> lengths = random_lengths(can_compile() ? test::scaled(200) : 50);
  for (size_t i = 5; i < lengths.size(); i += 3) lengths[i] = lengths[i - 5];  // some come again while they are known
  lengths.insert(lengths.end(), {0, 1, 2, 0, 1, 2, 0, 1, 2});
  for (int64_t steps : lengths) {
    INFO(steps << " steps");
    check_same(compiled(expected.xs(steps), state(0.3), w), expected.results(steps), "results");
  }
  const CompileStats stats = compiled.stats();
  CHECK(stats.keys <= kFewKeys);
  CHECK_COMPILED(stats.dropped_keys > 0);
  CHECK_COMPILED(stats.entered_calls > 0);
  CHECK_COMPILED(stats.code_generations <= 12);
  CHECK(stats.recorded_calls <= 5);
}
