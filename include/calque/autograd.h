// Recording of gradients: when it is on, and gradients without .grad().
#pragma once

#include <initializer_list>
#include <span>
#include <vector>

#include "calque/tensor.h"

#pragma GCC visibility push(default)

namespace calque {

/// Whether ops of this thread are recorded for backward().
bool is_grad_enabled();

/// While one is alive, this thread records nothing for backward().
class NoGradGuard {
 public:
  NoGradGuard();
  ~NoGradGuard();
  NoGradGuard(const NoGradGuard&) = delete;
  NoGradGuard& operator=(const NoGradGuard&) = delete;

 private:
  bool before_;
};

/// Runs `body` without recording: `no_grad([&] { w.assign_(w - 0.1 * w.grad()); });`
template <class Body>
decltype(auto) no_grad(Body&& body) {
  const NoGradGuard guard;
  return body();
}

struct GradOptions {
  bool create_graph = false;                  // the results require grad and can be differentiated again
  std::span<const Tensor> output_gradients = {};  // a weight for each output, of its type; empty: ones, for outputs of one element
};

/// Gradients of the weighted sum of `outputs` with respect to `inputs`, which may be leaves or values made on the way. No
/// .grad() changes. An input that the outputs do not depend on gets zeros. Throws UserError for an input that does not require
/// grad, an output that depends on nothing that does, and weights that do not fit.
std::vector<Tensor> grad(std::span<const Tensor> outputs, std::span<const Tensor> inputs, const GradOptions& options = {});
/// `grad(loss, parameters)`
inline std::vector<Tensor> grad(const Tensor& output, std::span<const Tensor> inputs, const GradOptions& options = {}) {
  return grad(std::span(&output, 1), inputs, options);
}
/// `grad({loss}, {w, b}, {.create_graph = true})`
std::vector<Tensor> grad(std::initializer_list<Tensor> outputs, std::initializer_list<Tensor> inputs,
                         const GradOptions& options = {});

}  // namespace calque

#pragma GCC visibility pop
