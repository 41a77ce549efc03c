// Gated recurrent unit with the reset gate before the product, as first written (Cho et al. 2014).
#include "examples/cells/cell.h"

namespace calque::cells {
namespace {

struct Weights {
  Tensor wx, wh, wn, b;  // [I,3H], [H,2H], [H,H], [3H]; gates in the order reset, update, candidate
};
struct State {
  Tensor h;  // [B,H]
};

Step<State> step(const Tensor& x, const State& s, const Weights& w) {
  const auto [xr, xz, xn] = split<3>(matmul(x, w.wx) + w.b);
  const auto [hr, hz] = split<2>(matmul(s.h, w.wh));
  const Tensor z = sigmoid(xz + hz);
  const Tensor n = tanh(xn + matmul(sigmoid(xr + hr) * s.h, w.wn));
  const Tensor h = n + z * (s.h - n);
  return {h, {h}};
}

Weights weights(int64_t inputs, int64_t hidden) {
  return {initial({inputs, 3 * hidden}, hidden), initial({hidden, 2 * hidden}, hidden),
          initial({hidden, hidden}, hidden), initial({3 * hidden}, hidden)};
}

State state(const Weights& w, int64_t batch) { return {zeros({batch, w.wh.size(0)})}; }

const Registered registered("gru_reset_before", {"wx", "wh", "wn", "b"}, &weights, &state, &step);

}  // namespace
}  // namespace calque::cells
