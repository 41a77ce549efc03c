// A recurrent cell of one's own: no library has it; compile() makes fused code of it, forward and backward, and explain()
// says what became of each line.
#include <calque/calque.h>

#include <cstdio>
#include <vector>

namespace cq = calque;

namespace {

constexpr int kInputs = 4, kUnits = 32, kBatch = 16, kLength = 12, kSteps = 150;

// Arguments and results of a compiled function may be plain structs of tensors; nothing has to be declared for that.
struct State {
  cq::Tensor hidden, memory;
};

struct Weights {
  cq::Tensor input = parameter({kInputs, 3 * kUnits}, 0.3), recurrent = parameter({kUnits, 3 * kUnits}, 0.1),
             bias = parameter({3 * kUnits}, 0), leak = parameter({kUnits}, 0), readout = parameter({kUnits, 1}, 0.1);

  static cq::Tensor parameter(const cq::Shape& shape, double deviation) {
    return cq::nn::normal(shape, 0, deviation).set_requires_grad();
  }
  std::vector<cq::Tensor> all() const { return {input, recurrent, bias, leak, readout}; }
};

/// An LSTM whose input gate is what its forget gate leaves over (Greff et al. 2015), with layer norm on the gates, and a memory
/// that leaks at a rate which every unit learns. x is [batch, inputs], the state [batch, units].
State cell(const cq::Tensor& x, const State& state, const Weights& w) {
  const auto gates = cq::layer_norm(cq::matmul(x, w.input) + cq::matmul(state.hidden, w.recurrent)) + w.bias;
  const auto [forget, output, candidate] = cq::split<3>(gates);
  const auto keep = cq::sigmoid(forget);
  const auto kept = cq::sigmoid(w.leak + 3.0) * state.memory;
  const auto memory = keep * kept + (1.0 - keep) * cq::tanh(candidate);
  return {cq::sigmoid(output) * cq::tanh(memory), memory};
}

/// The losses of a training run: the cell learns to tell the largest number that it saw in the first of its inputs.
template <class Cell>
std::vector<double> train(Cell&& step_of) {
  cq::manual_seed(3);
  const Weights w;
  cq::optim::Adam adam(w.all(), {.learning_rate = 1e-2});
  std::vector<double> losses;
  for (int step = 0; step < kSteps; ++step) {
    State state{cq::zeros({kBatch, kUnits}), cq::zeros({kBatch, kUnits})};
    cq::Tensor largest = cq::full({kBatch, 1}, -10);
    for (int t = 0; t < kLength; ++t) {
      const cq::Tensor x = cq::nn::normal({kBatch, kInputs});
      largest = cq::maximum(largest, cq::slice(x, 1, 0, 1));
      state = step_of(x, state, w);
    }
    const auto error = cq::matmul(state.hidden, w.readout) - largest;
    const auto loss = cq::mean(error * error);
    loss.backward();
    adam.step();
    adam.zero_grad();
    losses.push_back(loss.item());
  }
  return losses;
}

}  // namespace

int main() {
  const std::vector<double> eager = train(cell);
  auto compiled_cell = cq::compile(cell, {.name = "leaky_cell"});
  const std::vector<double> compiled = train(compiled_cell);

  for (int step : {0, 49, 99, kSteps - 1}) std::printf("step %3d  loss %.4f\n", step + 1, compiled[step]);
  const bool is_same = eager == compiled;
  std::printf("eager and compiled losses: %s\n\n", is_same ? "equal in every bit" : "DIFFERENT");
  std::puts(compiled_cell.explain().c_str());
  return is_same && compiled.back() < compiled.front() ? 0 : 1;
}
