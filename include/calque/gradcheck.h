// Checks gradients against finite differences: for functions of one's own.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <vector>

#include "calque/tensor.h"

#pragma GCC visibility push(default)

namespace calque {

struct GradcheckOptions {
  double step = 1e-6;                 // h of (f(x + h) - f(x - h)) / 2h
  double absolute_tolerance = 1e-5;   // |gradient - difference| <= absolute + relative * |difference|
  double relative_tolerance = 1e-3;
  bool second_order = false;          // check the gradients of the gradients, too
};

struct GradcheckResult {
  bool passed = true;
  double largest_error = 0;  // |gradient - difference| over all elements
  std::string report;        // of the worst element that failed; empty when none did
  explicit operator bool() const { return passed; }
};

using DifferentiableFunction = std::function<std::vector<Tensor>(std::span<const Tensor>)>;

/// Compares, for every element of every floating result and every input that requires grad, the gradient of backward with a
/// central difference. The function is called twice for each element of the inputs, and must give the same for the same
/// inputs. Only f64 is precise enough: throws UserError for an input that requires grad and is of another dtype, and when
/// no input requires grad. No .grad() changes, and the inputs are not written.
GradcheckResult gradcheck(const DifferentiableFunction& function, std::span<const Tensor> inputs,
                          const GradcheckOptions& options = {});
/// The same for a function of one tensor with one result.
GradcheckResult gradcheck(const std::function<Tensor(const Tensor&)>& function, const Tensor& input,
                          const GradcheckOptions& options = {});

}  // namespace calque

#pragma GCC visibility pop
