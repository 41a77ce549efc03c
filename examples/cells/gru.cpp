// Gated recurrent unit (Cho et al. 2014), with the reset gate after the product, as vendor libraries have it.
#include "examples/cells/cell.h"

namespace calque::cells {
namespace {

struct Weights {
  Tensor wx, wh, bx, bh;  // [I,3H], [H,3H], [3H], [3H]; gates in the order reset, update, candidate
};
struct State {
  Tensor h;  // [B,H]
};

Step<State> step(const Tensor& x, const State& s, const Weights& w) {
  const auto [xr, xz, xn] = split<3>(matmul(x, w.wx) + w.bx);
  const auto [hr, hz, hn] = split<3>(matmul(s.h, w.wh) + w.bh);
  const Tensor z = sigmoid(xz + hz);
  const Tensor n = tanh(xn + sigmoid(xr + hr) * hn);
  const Tensor h = n + z * (s.h - n);
  return {h, {h}};
}

Weights weights(int64_t inputs, int64_t hidden) {
  return {initial({inputs, 3 * hidden}, hidden), initial({hidden, 3 * hidden}, hidden),
          initial({3 * hidden}, hidden), initial({3 * hidden}, hidden)};
}

State state(const Weights& w, int64_t batch) { return {zeros({batch, w.wh.size(0)})}; }

const Registered registered("gru", {"wx", "wh", "bx", "bh"}, &weights, &state, &step);

}  // namespace
}  // namespace calque::cells
