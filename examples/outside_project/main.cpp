// Fits a small gated model, once eagerly and once compiled, and compares the losses bit by bit.
#include <calque/calque.h>

#include <cstdio>
#include <vector>

namespace cq = calque;

namespace {

/// Losses of 40 steps; `forward` is the model as it stands or compiled.
template <class Forward>
std::vector<double> fit(cq::nn::Linear& gate, cq::nn::Linear& readout, Forward&& forward) {
  cq::optim::Adam adam({gate.weight, gate.bias, readout.weight, readout.bias}, {.learning_rate = 1e-2});
  std::vector<double> losses;
  for (int step = 0; step < 40; ++step) {
    const cq::Tensor x = cq::nn::normal({16, 8});
    const cq::Tensor error = forward(x) - cq::mean(x * x, {1}, true);
    const cq::Tensor loss = cq::mean(error * error);
    loss.backward();
    adam.step();
    adam.zero_grad();
    losses.push_back(loss.item());
  }
  return losses;
}

}  // namespace

int main() {
  std::vector<double> losses[2];
  cq::CompileStats stats;
  for (const bool is_compiled : {false, true}) {
    cq::manual_seed(7);
    cq::nn::Linear gate(8, 32), readout(16, 1);
    const auto model = [&](const cq::Tensor& x) {
      auto [open, value] = cq::split<2>(gate(x));
      return readout(cq::sigmoid(open) * cq::tanh(value));
    };
    auto compiled = cq::compile(model, {.name = "model"});
    losses[is_compiled] = is_compiled ? fit(gate, readout, compiled) : fit(gate, readout, model);
    stats = compiled.stats();
  }
  const bool is_same = losses[0] == losses[1];
  std::printf("loss %.4f -> %.4f, %s in every bit; %.0f plans compiled, %.0f from the cache, %.0f runs of them\n",
              losses[1].front(), losses[1].back(), is_same ? "the same" : "DIFFERENT", double(stats.compilations),
              double(stats.cache_hits), double(stats.plan_runs));
  return is_same && losses[1].back() < losses[1].front() ? 0 : 1;
}
