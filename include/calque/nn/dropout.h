// Dropout as a module, which drops in training mode only.
#pragma once

#include "calque/nn/module.h"
#include "calque/random.h"

#pragma GCC visibility push(default)

namespace calque::nn {

/// Makes each element zero with probability p and divides the others by 1 - p (Srivastava et al. 2014); in evaluation mode
/// gives x itself. Draws from default_generator().
class Dropout : public Module {
 public:
  /// Throws UserError for p outside of [0, 1].
  explicit Dropout(double p = 0.5) : p_(p) {
    if (!(p >= 0 && p <= 1)) throw UserError("Dropout: the probability " + std::to_string(p) + " is not within 0 and 1");
  }
  [[gnu::always_inline]] Tensor operator()(const Tensor& x) const { return dropout(x, p_, is_training()); }

 private:
  double p_;
};

}  // namespace calque::nn

#pragma GCC visibility pop
