// Products of all steps that a loop makes in pieces: the bits of the whole, whatever the lengths of loop and pieces, and memory that
// does not grow with the loop.
#include "calque/pure.h"
#include "compiler/plan.h"
#include "runtime/pool.h"
#include "tests/run/loop_programs.h"
#include "tests/support/meanwhile.h"
#include "tests/support/sanitized.h"
#include "tests/support/threads.h"

using namespace calque;
using namespace calque::loop_programs;
using test::Meanwhile;

namespace {

/// Bytes that a pass over so many steps takes and gives back.
size_t scratch_bytes(int64_t steps) {
  const NoGradGuard no_grad;
  const Tensors w = weights();
  auto compiled = compile([](const Tensor& xs, const Tensor& h, const Tensor& c, const Tensors& w) { return lstm(xs, h, c, w)[0]; });
  const Tensor xs = sequence(steps), h = state(0.3), c = state(-0.2);
  for (int call = 0; call < 3; ++call) compiled(xs, h, c, w);
  memory::release_cached();
  const Tensor result = compiled(xs, h, c, w);
  return memory::cached_bytes();
}

}  // namespace

TEST_CASE("pieces: the bits of eager execution, for any length of loop and pieces") {
  const NoGradGuard no_grad;
  for (const Loop& loop : loops())
    for (int64_t rows : {1, 12, 22})
      for (int threads : {1, 3}) {
        INFO(loop.name << ", about " << rows << " rows at a time, " << threads << " threads");
        const Meanwhile few(Plan::piece_rows, rows);
        const test::Threads scope(threads);
        const Tensors w = weights();
        auto compiled = compile(loop.run);
        for (int64_t steps : {8, 8, 9, 20, 31, 3, 21}) {
          INFO(steps << " steps");
          const Tensor xs = sequence(steps, 0.03 * static_cast<double>(steps));
          check_same(compiled(xs, state(0.3), state(-0.2), w), loop.run(xs, state(0.3), state(-0.2), w), "results");
        }
      }
}

TEST_CASE("pieces: gradients within rounding of the tape's") {
  const Meanwhile few(Plan::piece_rows, 12);
  for (const Loop& loop : loops())
    for (int64_t steps : {9, 20}) {
      INFO(loop.name << ", " << steps << " steps");
      auto compiled = compile(loop.run);
      const Tensors expected = with_gradients(loop.run, steps);
      for (int call = 0; call < 3; ++call) check_close(with_gradients(compiled, steps), expected);
    }
}

TEST_CASE("pieces: a pass over a longer sequence takes no more memory") {
  if (test::kSanitized || !can_compile()) {
    WARN("SKIP: freed memory is not kept, so not counted, in a sanitizer's build; and there is no plan without a code generator");
    return;
  }
  const size_t few = scratch_bytes(1000), many = scratch_bytes(4000);
  CHECK(few > 0);
  CHECK(many < few + few / 4);
}
