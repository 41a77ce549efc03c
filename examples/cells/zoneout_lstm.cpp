// LSTM some of whose units keep their values of the step before, drawn anew at each step (Krueger et al.
// 2017).
#include "examples/cells/cell.h"

namespace calque::cells {
namespace {

constexpr double kKeepMemory = 0.5, kKeepOutput = 0.05;  // as in the paper's language models

struct Weights {
  Tensor wx, wh, b;  // [I,4H], [H,4H], [4H]; gates in the order input, forget, candidate, output
};
struct State {
  Tensor h, c;  // [B,H]
};

Step<State> step(const Tensor& x, const State& s, const Weights& w) {
  const auto [i, f, g, o] = split<4>(matmul(x, w.wx) + matmul(s.h, w.wh) + w.b);
  const Tensor new_c = sigmoid(f) * s.c + sigmoid(i) * tanh(g);
  const Tensor new_h = sigmoid(o) * tanh(new_c);
  const Tensor c = where(rand(s.c.shape()) < kKeepMemory, s.c, new_c);
  const Tensor h = where(rand(s.h.shape()) < kKeepOutput, s.h, new_h);
  return {h, {h, c}};
}

Weights weights(int64_t inputs, int64_t hidden) {
  return {initial({inputs, 4 * hidden}, hidden), initial({hidden, 4 * hidden}, hidden),
          initial({4 * hidden}, hidden)};
}

State state(const Weights& w, int64_t batch) {
  return {zeros({batch, w.wh.size(0)}), zeros({batch, w.wh.size(0)})};
}

const Registered registered("zoneout_lstm", {"wx", "wh", "b"}, &weights, &state, &step);

}  // namespace
}  // namespace calque::cells
