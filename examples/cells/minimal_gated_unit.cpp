// The minimal gated unit (Zhou et al. 2016): a GRU with one gate for both purposes.
#include "examples/cells/cell.h"

namespace calque::cells {
namespace {

struct Weights {
  Tensor wx, wf, wn, b;  // [I,2H], [H,H], [H,H], [2H]; gate, then candidate
};
struct State {
  Tensor h;  // [B,H]
};

Step<State> step(const Tensor& x, const State& s, const Weights& w) {
  const auto [xf, xn] = split<2>(matmul(x, w.wx) + w.b);
  const Tensor f = sigmoid(xf + matmul(s.h, w.wf));
  const Tensor n = tanh(xn + matmul(f * s.h, w.wn));
  const Tensor h = s.h + f * (n - s.h);
  return {h, {h}};
}

Weights weights(int64_t inputs, int64_t hidden) {
  return {initial({inputs, 2 * hidden}, hidden), initial({hidden, hidden}, hidden),
          initial({hidden, hidden}, hidden), initial({2 * hidden}, hidden)};
}

State state(const Weights& w, int64_t batch) { return {zeros({batch, w.wf.size(0)})}; }

const Registered registered("minimal_gated_unit", {"wx", "wf", "wn", "b"}, &weights, &state, &step);

}  // namespace
}  // namespace calque::cells
