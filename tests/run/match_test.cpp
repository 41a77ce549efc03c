// compile() in its default mode: whatever a function does, it returns what eager execution returns.
#include "tests/run/match_harness.h"

using namespace calque;

TEST_CASE("a compiled function gives the bits of eager execution, and runs as compiled code") {
  const auto function = [](const Tensor& x, const Tensor& y) { return tanh(x * y + 1.0) * sigmoid(x); };
  auto compiled = compile(function);
  for (int call = 0; call < 4; ++call) {
    const Tensor x = numbers({5, 33}, call), y = numbers({5, 33}, -call);
    CHECK(same_bits(compiled(x, y), function(x, y)));
  }
  const CompileStats stats = compiled.stats();
  CHECK(stats.calls == 4);
  CHECK(stats.plan_runs == (can_compile() ? 3 : 0));
  CHECK((stats.kernel_launches >= 3) == can_compile());
  CHECK(stats.matched_ops == 3 * 6);
  CHECK(stats.recorded_calls == 1);
}

TEST_CASE("gradients of a compiled function are those of eager execution") {
  const Tensor w = numbers({33, 8}, -0.4, 0.05), b = numbers({8}, 0.1, 0.01);
  const auto function = [&](const Tensor& x) { return layer_norm(tanh(matmul(x, w) + b)); };
  auto compiled = compile(function);
  Tensor weights[] = {w, b};
  for (Tensor& weight : weights) weight.set_requires_grad();
  for (int call = 0; call < 4; ++call) {
    const Tensor x = numbers({6, 33}, 0.1 * call, 0.02).set_requires_grad();
    const auto gradients = [&](auto&& f) {
      const Tensor loss = sum(f(x) * numbers({6, 8}));
      const Tensor inputs[] = {x, w, b}, outputs[] = {loss};
      return grad(outputs, inputs);
    };
    const std::vector<Tensor> ours = gradients(compiled), eager = gradients(function);
    for (size_t i = 0; i < ours.size(); ++i) CHECK(same_bits(ours[i], eager[i]));
  }
  CHECK(compiled.stats().backward_plan_runs == (can_compile() ? 3 : 0));
}
