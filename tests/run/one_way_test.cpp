// Programs with loops as people write them: whatever stands before, between and behind their loops, a few calls are recorded, and
// from then on every length runs as one loop, with eager execution's bits and gradients.
#include <random>

#include "bench/loops_as_written.h"
#include "tests/run/loop_programs.h"
#include "tests/support/sanitized.h"

using namespace calque;
using namespace calque::loop_programs;
using bench::kLoopsAsWritten;
using bench::LoopAsWritten;

TEST_CASE("one way: programs as people write them are recorded a few times, for any length") {
  constexpr uint64_t kCalls = 30, kMostRecorded = 5;
  for (const bool with_gradients_too : {false, true})
    for (const LoopAsWritten& program : kLoopsAsWritten) {
      const auto run = [&](const Tensor& xs, const Tensor& h, const Tensor& c, const Tensors& w) {
        return program.run(xs, {h, c, w});
      };
      auto compiled = compile(run);
      std::mt19937 random(3);
      for (uint64_t call = 0; call < kCalls; ++call) {
        const auto steps = static_cast<int64_t>(8 + random() % 20);
        INFO(program.name << ", call " << call << " of " << steps << " steps" << (with_gradients_too ? ", with gradients" : ""));
        if (with_gradients_too) {
          check_close(with_gradients(compiled, steps), with_gradients(run, steps));
        } else {
          const NoGradGuard no_grad;
          const Tensors w = weights();
          check_same(compiled(sequence(steps), state(0.3), state(-0.2), w), run(sequence(steps), state(0.3), state(-0.2), w), "results");
        }
      }
      if (!program.is_one_way) continue;
      INFO(program.name << (with_gradients_too ? ", with gradients" : ""));
      CHECK(compiled.stats().recorded_calls <= kMostRecorded);
      CHECK_COMPILED(compiled.stats().loop_runs >= kCalls - kMostRecorded);
    }
}
