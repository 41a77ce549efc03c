// A first program: a recurrent cell of one's own, compiled by one call, learns to remember the sign of its
// first input.
#include <calque/calque.h>

#include <cstdio>
#include <vector>

namespace cq = calque;

int main() {
  cq::manual_seed(1);
  cq::nn::Linear gates(8 + 64, 2 * 64), readout(64, 1);
  cq::optim::Adam adam({gates.weight, gates.bias, readout.weight, readout.bias}, {.learning_rate = 3e-3});

  // Any function on tensors. This cell is in no library: one gate mixes the old state with the layer norm of
  // a new one.
  auto cell = cq::compile([&](const cq::Tensor& x, const cq::Tensor& h) {
    auto [gate, candidate] = cq::split<2>(gates(cq::concat({x, h}, 1)));
    auto z = cq::sigmoid(gate);
    return z * h + (1.0 - z) * cq::tanh(cq::layer_norm(candidate));
  });

  for (int step = 0; step <= 200; ++step) {
    cq::Tensor h = cq::zeros({32, 64}), first;
    for (int t = 0; t < 20; ++t) {
      cq::Tensor x = cq::nn::normal({32, 8});
      if (t == 0) first = cq::cast(cq::slice(x, 1, 0, 1) > 0.0, cq::DType::f32);
      h = cell(x, h);
    }
    auto error = cq::sigmoid(readout(h)) - first;
    auto loss = cq::mean(error * error);
    loss.backward();
    adam.step();
    adam.zero_grad();
    if (step % 50 == 0) std::printf("step %3d  loss %.4f\n", step, loss.item());
  }
  const cq::CompileStats stats = cell.stats();
  std::printf("%.0f calls: %.0f ops matched; %.0f plans compiled, %.0f from the cache\n", double(stats.calls),
              double(stats.matched_ops), double(stats.compilations), double(stats.cache_hits));
}
