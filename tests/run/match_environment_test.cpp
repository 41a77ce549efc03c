// The switches of a whole process, CALQUE_VERIFY and CALQUE_DISABLE_COMPILE: read once, so this program starts itself again.
#include "tests/run/match_harness.h"
#include "tests/support/run_again.h"

using namespace calque;

namespace {

/// Forward and backward, views, reads in mid-call, integers, bools, a number that changes, a branch.
CompileStats run_mixed_program() {
  const auto make = [] {
    return [calls = 0](const Tensors& in) mutable -> Tensors {
      Tensor x = in[0] * 1.0;
      x = x.detach().set_requires_grad();
      const Tensor y = tanh(matmul(x, numbers({9, 5}))) * (0.1 * calls);
      const Tensor mask = y > 0.01, index = argmax(y, 1);
      const double total = sum(y).item();
      const Tensor z = calls++ % 3 == 2 ? transpose(y) : transpose(exp(y) + total);
      sum(z).backward();
      return {z, mask, index, x.grad(), slice(y, 0, 1, 3)};
    };
  };
  return same_as_plain(make, two_matrices, 9);
}

}  // namespace

TEST_CASE("hidden: with CALQUE_VERIFY", "[.]") {
  const CompileStats stats = run_mixed_program();
  CHECK_COMPILED(stats.plan_runs > 5);
}

TEST_CASE("hidden: with CALQUE_DISABLE_COMPILE", "[.]") {
  const CompileStats stats = run_mixed_program();
  CHECK(stats.plan_runs == 0);
  CHECK(stats.recorded_calls == 0);
}

TEST_CASE("CALQUE_VERIFY runs eager beside compiled and finds no difference") {
  CHECK(run_again("CALQUE_VERIFY", "1", "hidden: with CALQUE_VERIFY") == 0);
}

TEST_CASE("CALQUE_DISABLE_COMPILE leaves everything to eager execution") {
  CHECK(run_again("CALQUE_DISABLE_COMPILE", "1", "hidden: with CALQUE_DISABLE_COMPILE") == 0);
}
