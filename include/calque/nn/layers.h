// The layers that most models share.
#pragma once

#include "calque/nn/module.h"
#include "calque/ops.h"

#pragma GCC visibility push(default)

namespace calque::nn {

/// x [N,in] -> x @ weight + bias [N,out]. weight [in,out] starts by `xavier`, bias [out] at zero.
class Linear : public Module {
 public:
  Linear(int64_t inputs, int64_t outputs);
  [[gnu::always_inline]] Tensor operator()(const Tensor& x) const { return matmul(x, weight) + bias; }

  const Tensor weight, bias;
};

/// Indices (i64 or i32) of any shape [...] -> rows of weight [...,size]. weight [count,size] starts normal.
/// An index out of range throws UserError.
class Embedding : public Module {
 public:
  Embedding(int64_t count, int64_t size);
  [[gnu::always_inline]] Tensor operator()(const Tensor& indices) const { return take(weight, indices); }

  const Tensor weight;
};

/// Normalises the last axis, of size `size`, then scales and shifts it (Ba, Kiros, Hinton 2016). weight
/// [size] starts at one, bias [size] at zero.
class LayerNorm : public Module {
 public:
  explicit LayerNorm(int64_t size, double epsilon = 1e-5);
  [[gnu::always_inline]] Tensor operator()(const Tensor& x) const {
    return layer_norm(x, weight, bias, epsilon_);
  }

  const Tensor weight, bias;

 private:
  double epsilon_;
};

}  // namespace calque::nn

#pragma GCC visibility pop
