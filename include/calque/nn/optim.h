// Optimisers: what turns gradients into new parameters.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "calque/nn/module.h"

namespace calque::optim {

/// Euclidean norm of all gradients together. When it exceeds `max_norm`, every gradient is scaled by
/// max_norm / (norm + 1e-6) (Pascanu, Mikolov, Bengio 2013). Parameters without a gradient are left out; a
/// norm that is not finite scales nothing. Gradients that were handed out before are not written: .grad() is
/// replaced.
double clip_grad_norm(std::span<const Tensor> parameters, double max_norm);

struct AdamOptions {
  double learning_rate = 1e-3;
  double beta1 = 0.9;
  double beta2 = 0.999;
  double epsilon = 1e-8;
};

/// Adam (Kingma, Ba: Adam, a method for stochastic optimization. ICLR 2015), with the order of computation
/// that section 2 of the paper recommends: the corrections of both moments go into the step size and epsilon.
class Adam {
 public:
  explicit Adam(std::vector<Tensor> parameters, const AdamOptions& options = {});

  /// One update of every parameter that has a gradient.
  void step();
  /// Drops the gradients.
  void zero_grad();
  const AdamOptions& options() const { return options_; }
  void set_learning_rate(double value) { options_.learning_rate = value; }

  /// Steps so far and both moments: "step", then "first.<i>" and "second.<i>" for parameter i.
  NamedTensors state() const;
  /// Takes over a state of the same parameters. Throws UserError, and changes nothing, when something is
  /// missing or of another type.
  void load_state(const NamedTensors& state);

 private:
  struct Moments {
    Tensor first, second;
  };

  std::vector<Tensor> parameters_;
  std::vector<Moments> moments_;
  AdamOptions options_;
  int64_t steps_ = 0;
};

}  // namespace calque::optim
