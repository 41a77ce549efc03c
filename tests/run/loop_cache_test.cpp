// Loops and the disk cache: a new process finds every plan of a program with loops, of its gradients and of a whole training step.
#include <cstdio>

#include "calque/pure.h"
#include "tests/run/loop_programs.h"
#include "tests/support/child.h"
#include "tests/support/temporary_folder.h"

using namespace calque;
using namespace calque::loop_programs;

namespace {

struct CacheCounts {
  uint64_t made = 0, found = 0, generated = 0, loops = 0;

  void add(const CompileStats& stats) {
    made += stats.compilations, found += stats.cache_hits, generated += stats.code_generations, loops += stats.loop_runs;
  }
};

/// Loss, and what a step of gradient descent makes of the weights.
Tensors training_step(const Tensor& xs, const Tensors& w) {
  const Tensors results = lstm(xs, state(0.3), state(-0.2), w);
  const Tensor loss = sum(results[0] * results[0]) + sum(results[2]);
  const Tensors slopes = grad({loss}, {w[0], w[1], w[2]});
  const NoGradGuard no_grad;
  return {loss.detach(), w[0] - slopes[0] * 0.1, w[1] - slopes[1] * 0.1, w[2] - slopes[2] * 0.1};
}

/// Calls each kind of program at lengths that are unrolled while compiling, that are not, and that have no loop.
CacheCounts run_programs_with_loops() {
  CacheCounts counts;
  const std::vector<int64_t> lengths = {7, 7, 9, 60, 60, 9, 2, 2, 1, 1};
  const auto inference = [](const Tensor& xs, const Tensors& w) { return lstm(xs, state(0.3), state(-0.2), w); };
  const auto backward = [](const Tensor& xs, const Tensors& w) { return backwards(xs, state(0.3), state(-0.2), w); };
  {
    const NoGradGuard no_grad;
    auto matched = compile(inference, {.name = "loop"});
    auto entered = compile(pure, backward, {.name = "entered"});
    for (int64_t steps : lengths) {
      const Tensors w = weights();
      check_same(matched(sequence(steps), w), inference(sequence(steps), w), "results");
      check_same(entered(sequence(steps), w), backward(sequence(steps), w), "results of the pure one");
    }
    counts.add(matched.stats());
    counts.add(entered.stats());
  }
  auto trained = compile(inference, {.name = "trained"});
  auto whole_step = compile(training_step, {.name = "whole_step"});
  for (int64_t steps : lengths) {
    const auto outside = [&](auto& function) {
      const Tensors w = weights();
      const Tensors results = function(sequence(steps), w);
      return grad({sum(results[0] * results[0])}, {w[0], w[1], w[2]});
    };
    check_close(outside(trained), outside(inference));
    check_close(whole_step(sequence(steps), weights()), training_step(sequence(steps), weights()));
  }
  counts.add(trained.stats());
  counts.add(whole_step.stats());
  return counts;
}

CacheCounts run_in_child(const std::string& folder) {
  const test::Ended ended = test::run_program({test::own_program(), "hidden: loops in a process of their own"},
                                              {"CALQUE_CACHE_DIR=" + folder});
  INFO(ended.output << ended.errors);
  CHECK(ended.exit_code == 0);
  CHECK(ended.warnings() == 0);
  CacheCounts counts;
  const size_t at = ended.output.find("counts ");
  REQUIRE(at != std::string::npos);
  unsigned long made = 0, found = 0, generated = 0, loops = 0;
  REQUIRE(std::sscanf(ended.output.c_str() + at, "counts %lu %lu %lu %lu", &made, &found, &generated, &loops) == 4);
  return {made, found, generated, loops};
}

}  // namespace

TEST_CASE("hidden: loops in a process of their own", "[.]") {
  const CacheCounts counts = run_programs_with_loops();
  std::printf("counts %lu %lu %lu %lu\n", static_cast<unsigned long>(counts.made), static_cast<unsigned long>(counts.found),
              static_cast<unsigned long>(counts.generated), static_cast<unsigned long>(counts.loops));
}

TEST_CASE("loop cache: a new process finds all that another compiled of loops, gradients and a training step") {
  if (!can_compile()) return;
  const test::TemporaryFolder folder;
  const CacheCounts cold = run_in_child(folder.file("cache"));
  CHECK(cold.made >= 12);
  CHECK(cold.loops >= 12);
  for (int again = 0; again < 2; ++again) {
    const CacheCounts warm = run_in_child(folder.file("cache"));
    CHECK(warm.made == 0);
    CHECK(warm.found == cold.made + cold.found);
    CHECK(warm.generated == 0);
    CHECK(warm.loops == cold.loops);
  }
}
