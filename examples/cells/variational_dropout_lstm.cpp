// LSTM with dropout of its recurrent input by one mask for the whole sequence (Gal, Ghahramani 2016).
#include "examples/cells/cell.h"

namespace calque::cells {
namespace {

constexpr double kDropped = 0.25;

struct Weights {
  Tensor wx, wh, b;  // [I,4H], [H,4H], [4H]; gates in the order input, forget, candidate, output
};
struct State {
  Tensor h, c;  // [B,H]
  Tensor mask;  // [B,H]: 0, or 1 / (1 - kDropped); the same at every step
};

Step<State> step(const Tensor& x, const State& s, const Weights& w) {
  const auto [i, f, g, o] = split<4>(matmul(x, w.wx) + matmul(s.h * s.mask, w.wh) + w.b);
  const Tensor c = sigmoid(f) * s.c + sigmoid(i) * tanh(g);
  const Tensor h = sigmoid(o) * tanh(c);
  return {h, {h, c, s.mask}};
}

Weights weights(int64_t inputs, int64_t hidden) {
  return {initial({inputs, 4 * hidden}, hidden), initial({hidden, 4 * hidden}, hidden),
          initial({4 * hidden}, hidden)};
}

State state(const Weights& w, int64_t batch) {
  const Shape shape{batch, w.wh.size(0)};
  return {zeros(shape), zeros(shape), dropout(ones(shape), kDropped)};
}

const Registered registered("variational_dropout_lstm", {"wx", "wh", "b"}, &weights, &state, &step);

}  // namespace
}  // namespace calque::cells
