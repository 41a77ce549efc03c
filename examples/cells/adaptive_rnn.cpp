// A cell that thinks for as long as its data ask for (after Graves 2016: adaptive computation time): it
// repeats its step until each sequence of the batch has said often enough that it is done.
#include "examples/cells/cell.h"

namespace calque::cells {
namespace {

constexpr int kMostSteps = 6;
constexpr double kDone = 1.25;

struct Weights {
  Tensor wx, wh, b;       // [I,H], [H,H], [H]
  Tensor w_halt, b_halt;  // [H,1], [1]
};
struct State {
  Tensor h;  // [B,H]
};

Step<State> step(const Tensor& x, const State& s, const Weights& w) {
  const Tensor input = matmul(x, w.wx) + w.b;
  Tensor h = tanh(input + matmul(s.h, w.wh));
  Tensor done = sigmoid(matmul(h, w.w_halt) + w.b_halt);
  for (int thought = 1; thought < kMostSteps && min(done).item() < kDone; ++thought) {
    h = tanh(input + matmul(h, w.wh));
    done = done + sigmoid(matmul(h, w.w_halt) + w.b_halt);
  }
  return {h, {h}};
}

Weights weights(int64_t inputs, int64_t hidden) {
  return {initial({inputs, hidden}, hidden), initial({hidden, hidden}, hidden), initial({hidden}, hidden),
          initial({hidden, 1}, 1), initial({1}, 1)};
}

State state(const Weights& w, int64_t batch) { return {zeros({batch, w.wh.size(0)})}; }

const Registered registered("adaptive_rnn", {"wx", "wh", "b", "w_halt", "b_halt"}, &weights, &state, &step);

}  // namespace
}  // namespace calque::cells
