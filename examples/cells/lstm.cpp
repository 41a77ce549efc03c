// Long short-term memory (Hochreiter, Schmidhuber 1997; forget gate of Gers, Schmidhuber, Cummins 2000).
#include "examples/cells/cell.h"

namespace calque::cells {
namespace {

struct Weights {
  Tensor wx, wh, b;  // [I,4H], [H,4H], [4H]; gates in the order input, forget, candidate, output
};
struct State {
  Tensor h, c;  // [B,H]
};

Step<State> step(const Tensor& x, const State& s, const Weights& w) {
  const auto [i, f, g, o] = split<4>(matmul(x, w.wx) + matmul(s.h, w.wh) + w.b);
  const Tensor c = sigmoid(f) * s.c + sigmoid(i) * tanh(g);
  const Tensor h = sigmoid(o) * tanh(c);
  return {h, {h, c}};
}

Weights weights(int64_t inputs, int64_t hidden) {
  return {initial({inputs, 4 * hidden}, hidden), initial({hidden, 4 * hidden}, hidden),
          initial({4 * hidden}, hidden)};
}

State state(const Weights& w, int64_t batch) {
  return {zeros({batch, w.wh.size(0)}), zeros({batch, w.wh.size(0)})};
}

const Registered registered("lstm", {"wx", "wh", "b"}, &weights, &state, &step);

}  // namespace
}  // namespace calque::cells
