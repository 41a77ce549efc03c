// LSTM whose output is a projection to half the size of its memory (Sak, Senior, Beaufays 2014).
#include <algorithm>

#include "examples/cells/cell.h"

namespace calque::cells {
namespace {

struct Weights {
  Tensor wx, wh, b, wp;  // [I,4H], [P,4H], [4H], [H,P]; gates in the order input, forget, candidate, output
};
struct State {
  Tensor h, c;  // [B,P], [B,H]
};

Step<State> step(const Tensor& x, const State& s, const Weights& w) {
  const auto [i, f, g, o] = split<4>(matmul(x, w.wx) + matmul(s.h, w.wh) + w.b);
  const Tensor c = sigmoid(f) * s.c + sigmoid(i) * tanh(g);
  const Tensor h = matmul(sigmoid(o) * tanh(c), w.wp);
  return {h, {h, c}};
}

Weights weights(int64_t inputs, int64_t hidden) {
  const int64_t projected = std::max<int64_t>(1, hidden / 2);
  return {initial({inputs, 4 * hidden}, hidden), initial({projected, 4 * hidden}, hidden),
          initial({4 * hidden}, hidden), initial({hidden, projected}, hidden)};
}

State state(const Weights& w, int64_t batch) {
  return {zeros({batch, w.wp.size(1)}), zeros({batch, w.wp.size(0)})};
}

const Registered registered("projected_lstm", {"wx", "wh", "b", "wp"}, &weights, &state, &step);

}  // namespace
}  // namespace calque::cells
