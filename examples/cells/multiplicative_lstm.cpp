// LSTM whose recurrent matrix depends on the input through a factor (Krause et al. 2016).
#include "examples/cells/cell.h"

namespace calque::cells {
namespace {

struct Weights {
  Tensor wx, wm, b;  // [I,4H], [H,4H], [4H]; gates in the order input, forget, candidate, output
  Tensor wxm, whm;   // [I,H], [H,H]: the two factors of what takes the place of h
};
struct State {
  Tensor h, c;  // [B,H]
};

Step<State> step(const Tensor& x, const State& s, const Weights& w) {
  const Tensor m = matmul(x, w.wxm) * matmul(s.h, w.whm);
  const auto [i, f, g, o] = split<4>(matmul(x, w.wx) + matmul(m, w.wm) + w.b);
  const Tensor c = sigmoid(f) * s.c + sigmoid(i) * tanh(g);
  const Tensor h = sigmoid(o) * tanh(c);
  return {h, {h, c}};
}

Weights weights(int64_t inputs, int64_t hidden) {
  return {initial({inputs, 4 * hidden}, hidden), initial({hidden, 4 * hidden}, hidden),
          initial({4 * hidden}, hidden), initial({inputs, hidden}, hidden),
          initial({hidden, hidden}, hidden)};
}

State state(const Weights& w, int64_t batch) {
  return {zeros({batch, w.whm.size(0)}), zeros({batch, w.whm.size(0)})};
}

const Registered registered("multiplicative_lstm", {"wx", "wm", "b", "wxm", "whm"}, &weights, &state, &step);

}  // namespace
}  // namespace calque::cells
