// LSTM whose input gate is what the forget gate leaves (Greff et al. 2017: CIFG).
#include "examples/cells/cell.h"

namespace calque::cells {
namespace {

struct Weights {
  Tensor wx, wh, b;  // [I,3H], [H,3H], [3H]; gates in the order forget, candidate, output
};
struct State {
  Tensor h, c;  // [B,H]
};

Step<State> step(const Tensor& x, const State& s, const Weights& w) {
  const auto [f, g, o] = split<3>(matmul(x, w.wx) + matmul(s.h, w.wh) + w.b);
  const Tensor forget = sigmoid(f);
  const Tensor c = forget * s.c + (1.0 - forget) * tanh(g);
  const Tensor h = sigmoid(o) * tanh(c);
  return {h, {h, c}};
}

Weights weights(int64_t inputs, int64_t hidden) {
  return {initial({inputs, 3 * hidden}, hidden), initial({hidden, 3 * hidden}, hidden),
          initial({3 * hidden}, hidden)};
}

State state(const Weights& w, int64_t batch) {
  return {zeros({batch, w.wh.size(0)}), zeros({batch, w.wh.size(0)})};
}

const Registered registered("coupled_gate_lstm", {"wx", "wh", "b"}, &weights, &state, &step);

}  // namespace
}  // namespace calque::cells
