// LSTM that looks at a fixed memory with every step (Bahdanau, Cho, Bengio 2015; dot-product scores of Luong,
// Pham, Manning 2015).
#include "examples/cells/cell.h"

namespace calque::cells {
namespace {

constexpr int64_t kPlaces = 8;

struct Weights {
  Tensor wx, wh, wc, b;  // [I,4H], [H,4H], [H,4H], [4H]; gates in the order input, forget, candidate, output
  Tensor wq;             // [H,H]: what is asked of the memory
};
struct State {
  Tensor h, c;    // [B,H]
  Tensor memory;  // [B,kPlaces,H]; the same at every step
};

Step<State> step(const Tensor& x, const State& s, const Weights& w) {
  const Tensor query = unsqueeze(matmul(s.h, w.wq), 1);
  const Tensor share = softmax(sum(s.memory * query, {2}));
  const Tensor context = sum(unsqueeze(share, 2) * s.memory, {1});
  const Tensor gates = matmul(x, w.wx) + matmul(s.h, w.wh) + matmul(context, w.wc) + w.b;
  const auto [i, f, g, o] = split<4>(gates);
  const Tensor c = sigmoid(f) * s.c + sigmoid(i) * tanh(g);
  const Tensor h = sigmoid(o) * tanh(c);
  return {h, {h, c, s.memory}};
}

Weights weights(int64_t inputs, int64_t hidden) {
  return {initial({inputs, 4 * hidden}, hidden), initial({hidden, 4 * hidden}, hidden),
          initial({hidden, 4 * hidden}, hidden), initial({4 * hidden}, hidden),
          initial({hidden, hidden}, hidden)};
}

State state(const Weights& w, int64_t batch) {
  const int64_t hidden = w.wh.size(0);
  return {zeros({batch, hidden}), zeros({batch, hidden}), nn::normal({batch, kPlaces, hidden})};
}

const Registered registered("attention_lstm", {"wx", "wh", "wc", "b", "wq"}, &weights, &state, &step);

}  // namespace
}  // namespace calque::cells
