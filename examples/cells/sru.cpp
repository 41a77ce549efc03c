// The simple recurrent unit (Lei et al. 2018): its only products are with the input, its recurrence is
// elementwise.
#include "examples/cells/cell.h"

namespace calque::cells {
namespace {

struct Weights {
  Tensor wx, b;   // [I,4H], [4H]; in the order candidate, forget, reset, skip
  Tensor vf, vr;  // [H]: what the gates see of the memory
};
struct State {
  Tensor c;  // [B,H]
};

Step<State> step(const Tensor& x, const State& s, const Weights& w) {
  const auto [n, xf, xr, skip] = split<4>(matmul(x, w.wx) + w.b);
  const Tensor f = sigmoid(xf + w.vf * s.c);
  const Tensor r = sigmoid(xr + w.vr * s.c);
  const Tensor c = n + f * (s.c - n);
  return {skip + r * (c - skip), {c}};
}

Weights weights(int64_t inputs, int64_t hidden) {
  return {initial({inputs, 4 * hidden}, hidden), initial({4 * hidden}, hidden), initial({hidden}, hidden),
          initial({hidden}, hidden)};
}

State state(const Weights& w, int64_t batch) { return {zeros({batch, w.vf.size(0)})}; }

const Registered registered("sru", {"wx", "b", "vf", "vr"}, &weights, &state, &step);

}  // namespace
}  // namespace calque::cells
