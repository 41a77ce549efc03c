// The independently recurrent network (Li et al. 2018): each unit sees only itself in the step before.
#include "examples/cells/cell.h"

namespace calque::cells {
namespace {

struct Weights {
  Tensor wx, u, b;  // [I,H], [H], [H]
};
struct State {
  Tensor h;  // [B,H]
};

Step<State> step(const Tensor& x, const State& s, const Weights& w) {
  const Tensor h = relu(matmul(x, w.wx) + w.u * s.h + w.b);
  return {h, {h}};
}

Weights weights(int64_t inputs, int64_t hidden) {
  return {initial({inputs, hidden}, hidden), initial({hidden}, 1), initial({hidden}, hidden)};
}

State state(const Weights& w, int64_t batch) { return {zeros({batch, w.u.size(0)})}; }

const Registered registered("indrnn", {"wx", "u", "b"}, &weights, &state, &step);

}  // namespace
}  // namespace calque::cells
