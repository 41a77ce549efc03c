// Optimisers: what turns gradients into new parameters.
#pragma once

#include "calque/nn/optimizer.h"
#include "calque/nn/schedule.h"

#pragma GCC visibility push(default)

namespace calque::optim {

/// Euclidean norm of all gradients together. When it exceeds `max_norm`, every gradient is scaled by
/// max_norm / (norm + 1e-6) (Pascanu, Mikolov, Bengio 2013). Parameters without a gradient are left out; a
/// norm that is not finite scales nothing. Gradients that were handed out before are not written: .grad() is
/// replaced.
double clip_grad_norm(std::span<const Tensor> parameters, double max_norm);

struct SgdOptions {
  double learning_rate = 1e-2;
  double momentum = 0;
  bool nesterov = false;    // needs momentum
  double weight_decay = 0;  // as a gradient of weight_decay / 2 * ||x||^2
};

/// Stochastic gradient descent. With g the gradient plus weight_decay * x: v <- momentum * v + g, and x <- x - learning_rate * v;
/// Nesterov's takes g + momentum * v in place of v (Sutskever, Martens, Dahl, Hinton: On the importance of initialization and
/// momentum in deep learning. ICML 2013; in the form of torch.optim.SGD). Keeps "velocity" when there is momentum.
class Sgd : public Optimizer {
 public:
  /// Throws UserError for numbers below 0, a momentum of 1 or more, or nesterov without momentum.
  explicit Sgd(std::vector<Tensor> parameters, const SgdOptions& options = {});
  const SgdOptions& options() const { return options_; }

 private:
  Tensor updated(const Tensor& parameter, const Tensor& gradient, std::span<Tensor> kept) override;
  SgdOptions options_;
};

struct AdamOptions {
  double learning_rate = 1e-3;
  double beta1 = 0.9;
  double beta2 = 0.999;
  double epsilon = 1e-8;
};

/// Adam (Kingma, Ba: Adam, a method for stochastic optimization. ICLR 2015), with the order of computation
/// that section 2 of the paper recommends: the corrections of both moments go into the step size and epsilon.
/// Keeps "first" and "second", the moments.
class Adam : public Optimizer {
 public:
  /// Throws UserError for a rate or epsilon below 0, and betas outside of [0, 1).
  explicit Adam(std::vector<Tensor> parameters, const AdamOptions& options = {});
  const AdamOptions& options() const { return options_; }

 protected:
  Adam(const char* kind, std::vector<Tensor> parameters, const AdamOptions& options);
  /// What Adam's update makes of the elements of `from`.
  Tensor descend(const Tensor& from, const Tensor& gradient, std::span<Tensor> moments);

 private:
  Tensor updated(const Tensor& parameter, const Tensor& gradient, std::span<Tensor> kept) override;
  AdamOptions options_;
};

struct AdamWOptions {
  double learning_rate = 1e-3;
  double beta1 = 0.9;
  double beta2 = 0.999;
  double epsilon = 1e-8;
  double weight_decay = 1e-2;
};

/// Adam with decoupled weight decay: x <- x * (1 - learning_rate * weight_decay) before Adam's update, which the decay does not
/// enter (Loshchilov, Hutter: Decoupled weight decay regularization. ICLR 2019; in the form of torch.optim.AdamW).
class AdamW : public Adam {
 public:
  explicit AdamW(std::vector<Tensor> parameters, const AdamWOptions& options = {});
  double weight_decay() const { return weight_decay_; }

 private:
  Tensor updated(const Tensor& parameter, const Tensor& gradient, std::span<Tensor> kept) override;
  double weight_decay_;
};

}  // namespace calque::optim

#pragma GCC visibility pop
