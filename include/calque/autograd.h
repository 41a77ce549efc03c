// Recording of gradients: when it is on, and gradients without .grad().
#pragma once

#include <span>
#include <vector>

#include "calque/tensor.h"

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

/// Gradients of the sum of `outputs` (each weighted by its entry of `output_gradients`; empty means ones for outputs of one
/// element) with respect to `inputs`. An input that the outputs do not depend on gets zeros. With `create_graph` the result
/// is recorded, and can be differentiated again.
std::vector<Tensor> grad(std::span<const Tensor> outputs, std::span<const Tensor> inputs,
                         std::span<const Tensor> output_gradients = {}, bool create_graph = false);

}  // namespace calque
