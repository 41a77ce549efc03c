// LSTM and GRU layers, compiled as they stand: outputs and states of the eager program in every bit; gradients too, but
// where a loop sums them over its steps in one go: within rounding.
#include <catch2/catch.hpp>

#include <functional>

#include "calque/compile.h"
#include "calque/nn.h"
#include "calque/ops.h"
#include "calque/pure.h"
#include "runtime/kernels/isa.h"
#include "tests/support/same_bits.h"

using namespace calque;

namespace {

using Run = std::function<std::vector<Tensor>(const Tensor&)>;

struct Outcomes {
  std::vector<Tensor> outputs, gradients;
};

/// What five calls on other data give, and the gradients that each leaves in parameters and input.
Outcomes outcomes(nn::Module& module, const Run& run) {
  Outcomes result;
  for (int call = 0; call < 5; ++call) {
    manual_seed(100 + call);
    Tensor x = nn::normal({6, 3, 8});
    x.set_requires_grad();
    const std::vector<Tensor> outputs = run(x);
    for (const Tensor& output : outputs) result.outputs.push_back(output.detach());
    mean(square(outputs[0])).backward();
    for (const Tensor& parameter : module.parameters()) result.gradients.push_back(parameter.grad());
    result.gradients.push_back(x.grad());
    module.zero_grad();
  }
  return result;
}

bool is_close(const Tensor& ours, const Tensor& expected) {
  constexpr double kRounding = 1e-5;  // relative to the largest element
  return max(abs(ours - expected)).item() <= kRounding * (1e-3 + max(abs(expected)).item());
}

void is_the_same_compiled(nn::Module& module, const Run& run) {
  const Outcomes eager = outcomes(module, run);
  auto matched = compile(run);
  auto pure_one = compile(pure, run);
  for (const Outcomes& compiled : {outcomes(module, matched), outcomes(module, pure_one)}) {
    REQUIRE(compiled.outputs.size() == eager.outputs.size());
    REQUIRE(compiled.gradients.size() == eager.gradients.size());
    const bool rolled = matched.stats().loop_runs > 0;
    for (size_t i = 0; i < eager.outputs.size(); ++i) {
      INFO("output " << i << " of " << eager.outputs.size());
      CHECK(same_bits(compiled.outputs[i], eager.outputs[i]));
    }
    for (size_t i = 0; i < eager.gradients.size(); ++i) {
      INFO("gradient " << i << " of " << eager.gradients.size());
      CHECK((rolled ? is_close(compiled.gradients[i], eager.gradients[i])
                    : same_bits(compiled.gradients[i], eager.gradients[i])));
    }
  }
  if (kernels::isa_level() == kernels::IsaLevel::baseline) return;  // no code is generated below AVX2
  CHECK(matched.stats().plan_runs >= 3);
  CHECK(matched.stats().backward_plan_runs >= 3);
}

}  // namespace

TEST_CASE("an LSTM in two layers and directions is the same compiled") {
  manual_seed(1);
  nn::Lstm lstm(8, 16, {.layers = 2, .bidirectional = true});
  is_the_same_compiled(lstm, [&](const Tensor& x) {
    const auto [output, state] = lstm(x);
    return std::vector{output, state.h, state.c};
  });
}

TEST_CASE("a GRU of either convention is the same compiled") {
  for (const nn::ResetGate reset : {nn::ResetGate::after_product, nn::ResetGate::before_product}) {
    manual_seed(2);
    nn::Gru gru(8, 16, {.layers = 2}, reset);
    is_the_same_compiled(gru, [&](const Tensor& x) {
      const auto [output, h] = gru(x);
      return std::vector{output, h};
    });
  }
}

TEST_CASE("dropout between recurrent layers draws the same numbers compiled") {
  manual_seed(3);
  nn::Lstm lstm(8, 16, {.layers = 2, .dropout = 0.5});
  is_the_same_compiled(lstm, [&](const Tensor& x) { return std::vector{lstm(x).output}; });
}

TEST_CASE("a Sequential of layers and functions is the same compiled") {
  manual_seed(4);
  nn::Sequential net;
  net.add<nn::Linear>(8, 16).add<nn::LayerNorm>(16).add(tanh).add<nn::Dropout>(0.2).add<nn::Linear>(16, 4);
  is_the_same_compiled(net, [&](const Tensor& x) { return std::vector{net(x)}; });
}
