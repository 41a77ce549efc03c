// The plain recurrent network (Elman 1990).
#include "examples/cells/cell.h"

namespace calque::cells {
namespace {

struct Weights {
  Tensor wx, wh, b;  // [I,H], [H,H], [H]
};
struct State {
  Tensor h;  // [B,H]
};

Step<State> step(const Tensor& x, const State& s, const Weights& w) {
  const Tensor h = tanh(matmul(x, w.wx) + matmul(s.h, w.wh) + w.b);
  return {h, {h}};
}

Weights weights(int64_t inputs, int64_t hidden) {
  return {initial({inputs, hidden}, hidden), initial({hidden, hidden}, hidden), initial({hidden}, hidden)};
}

State state(const Weights& w, int64_t batch) { return {zeros({batch, w.wh.size(0)})}; }

const Registered registered("rnn", {"wx", "wh", "b"}, &weights, &state, &step);

}  // namespace
}  // namespace calque::cells
