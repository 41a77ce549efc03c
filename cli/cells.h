// Recurrent cells written by hand as plain functions: what a user would write, and what compile() is given.
#pragma once

#include <cmath>

#include "calque/nn.h"
#include "calque/ops.h"

namespace calque::cli {

/// What one step hands to the next: h and c, both [B,H].
struct CellState {
  Tensor h, c;
};

/// Weights for `gates` gates: wx [I,gates*H], wh [H,gates*H], b [gates*H]; gamma and beta [gates*H] of the
/// layer norm.
struct CellWeights : nn::Module {
  CellWeights(int64_t inputs, int64_t hidden, int64_t gates, bool has_layer_norm);
  Tensor wx, wh, b, gamma, beta;
};

/// A cell: x [B,I] and the state before -> the state after.
using Cell = CellState (*)(const Tensor& x, const Tensor& h, const Tensor& c, const CellWeights& w);

/// Long short-term memory (Hochreiter, Schmidhuber 1997; forget gate of Gers, Schmidhuber, Cummins 2000).
inline CellState lstm(const Tensor& x, const Tensor& h, const Tensor& c, const CellWeights& w) {
  const auto [i, f, g, o] = split<4>(matmul(x, w.wx) + matmul(h, w.wh) + w.b);
  const Tensor next = sigmoid(f) * c + sigmoid(i) * tanh(g);
  return {sigmoid(o) * tanh(next), next};
}

/// The same with layer norm over all gates (after Ba, Kiros, Hinton 2016). No vendor library has a fast path
/// for it.
inline CellState layernorm_lstm(const Tensor& x, const Tensor& h, const Tensor& c, const CellWeights& w) {
  const Tensor gates = layer_norm(matmul(x, w.wx) + matmul(h, w.wh) + w.b, w.gamma, w.beta);
  const auto [i, f, g, o] = split<4>(gates);
  const Tensor next = sigmoid(f) * c + sigmoid(i) * tanh(g);
  return {sigmoid(o) * tanh(next), next};
}

/// Gated recurrent unit (Cho et al. 2014) with the reset gate after the product, as vendor libraries have it;
/// no c.
inline CellState gru(const Tensor& x, const Tensor& h, const Tensor& c, const CellWeights& w) {
  const auto [xr, xz, xn] = split<3>(matmul(x, w.wx) + w.b);
  const auto [hr, hz, hn] = split<3>(matmul(h, w.wh));
  const Tensor z = sigmoid(xz + hz);
  const Tensor candidate = tanh(xn + sigmoid(xr + hr) * hn);
  return {candidate + z * (h - candidate), c};
}

inline CellWeights::CellWeights(int64_t inputs, int64_t hidden, int64_t gates, bool has_layer_norm) {
  const double bound = 1.0 / std::sqrt(static_cast<double>(hidden));
  const int64_t width = gates * hidden;
  wx = register_parameter("wx", nn::uniform({inputs, width}, -bound, bound));
  wh = register_parameter("wh", nn::uniform({hidden, width}, -bound, bound));
  b = register_parameter("b", zeros({width}));
  if (!has_layer_norm) return;
  gamma = register_parameter("gamma", ones({width}));
  beta = register_parameter("beta", zeros({width}));
}

}  // namespace calque::cli
