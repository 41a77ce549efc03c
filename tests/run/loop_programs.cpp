// The programs.
#include "tests/run/loop_programs.h"

namespace calque::loop_programs {

Tensor doubles(const Shape& shape, double start) {
  std::vector<double> values(static_cast<size_t>(shape.element_count()));
  for (size_t i = 0; i < values.size(); ++i) values[i] = start + 0.13 * static_cast<double>((i * 7) % 19) - 0.9;
  return from_vector(values, shape);
}

Tensors lstm_step(const Tensor& x, const Tensor& h, const Tensor& c, const Tensors& w) {
  const auto [i, f, g, o] = split<4>(matmul(x, w[0]) + matmul(h, w[1]) + w[2], -1);
  const Tensor next = sigmoid(f) * c + sigmoid(i) * tanh(g);
  return {sigmoid(o) * tanh(next), next};
}

Tensors lstm(const Tensor& xs, Tensor h, Tensor c, const Tensors& w) {
  Tensors hs;
  for (int64_t t = 0; t < xs.size(0); ++t) {
    const Tensors next = lstm_step(xs[t], h, c, w);
    h = next[0], c = next[1];
    hs.push_back(h);
  }
  if (!hs.empty()) return {stack(hs), h, c};
  return {h, c};
}

Tensors backwards(const Tensor& xs, Tensor h, Tensor c, const Tensors& w) {
  Tensors hs(static_cast<size_t>(xs.size(0)));
  for (int64_t t = xs.size(0) - 1; t >= 0; --t) {
    const Tensors next = lstm_step(xs[t], h, c, w);
    h = next[0], c = next[1];
    hs[static_cast<size_t>(t)] = h;
  }
  return {stack(hs, 1), c};
}

static Tensors both_ways(const Tensor& xs, Tensor h, Tensor c, const Tensors& w) {
  const Tensors there = lstm(xs, h, c, w), back = backwards(xs, h, c, w);
  return {concat({there[0], permute(back[0], {1, 0, 2})}, 2), there[2]};
}

static Tensors two_layers(const Tensor& xs, Tensor h, Tensor c, const Tensors& w) {
  Tensor h2 = h * 0.5, c2 = c * 0.5;
  Tensors hs;
  for (int64_t t = 0; t < xs.size(0); ++t) {
    const Tensors first = lstm_step(xs[t], h, c, w);
    h = first[0], c = first[1];
    const Tensors second = lstm_step(h, h2, c2, w);
    h2 = second[0], c2 = second[1];
    hs.push_back(h2);
  }
  return {stack(hs), h, c2};
}

static Tensors gru(const Tensor& xs, Tensor h, Tensor, const Tensors& w) {
  Tensor total = zeros({kBatch, kHidden}, h.dtype());
  for (int64_t t = 0; t < xs.size(0); ++t) {
    const auto [a, b, n, unused] = split<4>(matmul(xs[t], w[0]) + w[2], -1);
    const auto [u, v, m, unused2] = split<4>(matmul(h, w[1]), -1);
    const Tensor reset = sigmoid(a + u), update = sigmoid(b + v);
    h = (1.0 - update) * tanh(n + reset * m) + update * h;
    total = total + h;
  }
  return {h, total};
}

static Tensors layer_norm_rnn(const Tensor& xs, Tensor h, Tensor c, const Tensors& w) {
  for (int64_t t = 0; t < xs.size(0); ++t) {
    const Tensors next = lstm_step(layer_norm(xs[t]), layer_norm(h), c, w);
    h = next[0], c = next[1];
  }
  return {h, c};
}

static Tensors vector_of_steps(const Tensor& xs, Tensor h, Tensor c, const Tensors& w) {
  const Tensors steps = split(xs, xs.size(0), 0);
  for (const Tensor& step : steps) {
    const Tensors next = lstm_step(squeeze(step, {0}), h, c, w);
    h = next[0], c = next[1];
  }
  return {h};
}

/// Each step reads the state of two steps before: two steps are one iteration.
static Tensors two_steps_back(const Tensor& xs, Tensor h, Tensor c, const Tensors& w) {
  Tensor before = c;
  for (int64_t t = 0; t < xs.size(0); ++t) {
    const Tensor next = tanh(matmul(h, w[3]) + before * xs[t]);
    before = h;
    h = next;
  }
  return {h};
}

static Tensors first_step_differs(const Tensor& xs, Tensor h, Tensor c, const Tensors& w) {
  for (int64_t t = 0; t < xs.size(0); ++t) {
    const Tensor x = t == 0 ? xs[t] * 2.0 : xs[t];
    const Tensors next = lstm_step(x, h, c, w);
    h = next[0], c = next[1];
  }
  return {h, c};
}

static Tensors numbers_change(const Tensor& xs, Tensor h, Tensor c, const Tensors& w) {
  for (int64_t t = 0; t < xs.size(0); ++t) {
    h = tanh(matmul(h, w[3]) + xs[t] * (1.0 / static_cast<double>(t + 1)));
    c = c * 0.9 + h;
  }
  return {h, c};
}

static Tensors states_kept(const Tensor& xs, Tensor h, Tensor c, const Tensors& w) {
  Tensors all;
  for (int64_t t = 0; t < xs.size(0); ++t) {
    const Tensors next = lstm_step(xs[t], h, c, w);
    h = next[0], c = next[1];
    all.push_back(h);
    all.push_back(c);
  }
  return all;
}

/// Swaps its states, hands one through, and keeps one that nobody reads.
static Tensors odd_states(const Tensor& xs, Tensor h, Tensor c, const Tensors& w) {
  Tensor unread = h;
  for (int64_t t = 0; t < xs.size(0); ++t) {
    const Tensor next = tanh(matmul(h, w[3]) + xs[t]);
    unread = unread * 0.5 + c;
    h = c;
    c = next;
  }
  return {h, c};
}

/// Over the sequence, then on its own outputs: the second loop begins as the first one goes on.
static Tensors generation(const Tensor& xs, Tensor h, Tensor c, const Tensors& w) {
  Tensors ys;
  const auto step = [&](const Tensor& x) {
    const Tensor recurrent = matmul(h, w[1]) + w[2];
    const auto [i, f, g, o] = split<4>(recurrent + matmul(x, w[0]), -1);
    c = sigmoid(f) * c + sigmoid(i) * tanh(g);
    h = sigmoid(o) * tanh(c);
    ys.push_back(matmul(h, w[3]));
  };
  for (int64_t t = 0; t < xs.size(0); ++t) step(xs[t]);
  for (int64_t t = 0; t < xs.size(0) / 2 + 3; ++t) step(ys.back());
  return {stack(ys), concat(ys, 1)};
}

/// The second loop looks back at all states of the first one.
static Tensors attention(const Tensor& xs, Tensor h, Tensor c, const Tensors& w) {
  const Tensor memory = lstm(xs, h, c, w)[0];
  Tensors hs;
  for (int64_t t = xs.size(0) - 1; t >= 0; --t) {
    const Tensor weight = softmax(sum(memory * h, {2}, true), 0);
    const Tensors next = lstm_step(sum(weight * memory, {0}) + xs[t], h, c, w);
    h = next[0], c = next[1];
    hs.push_back(h);
  }
  return {stack(hs), memory};
}

const std::vector<Loop>& loops() {
  static const std::vector<Loop> all{{"lstm", lstm, 1},
                                     {"backwards", backwards, 1},
                                     {"both ways", both_ways, 2},
                                     {"two layers", two_layers, 1},
                                     {"gru", gru, 1},
                                     {"layer norm", layer_norm_rnn, 1},
                                     {"vector of steps", vector_of_steps, 1, false},
                                     {"two steps back", two_steps_back, 1},
                                     {"first step differs", first_step_differs, 1},
                                     {"numbers change", numbers_change, 1, false},
                                     {"states kept", states_kept, 1},
                                     {"odd states", odd_states, 1},
                                     {"generation", generation, 2},
                                     {"attention", attention, 2}};
  return all;
}

/// Weights that ask for gradients, made anew.
Tensors weights() {
  Tensors w{doubles({kHidden, 4 * kHidden}, 0.1) * 0.2, doubles({kHidden, 4 * kHidden}, -0.05) * 0.3,
            doubles({4 * kHidden}, 0.0), doubles({kHidden, kHidden}, 0.2) * 0.4};
  for (Tensor& weight : w) weight = detach(weight).set_requires_grad();
  return w;
}

}  // namespace calque::loop_programs
