// A loop over the steps of a sequence, said in one call.
#pragma once

#include <concepts>
#include <type_traits>
#include <utility>
#include <vector>

#include "calque/error.h"
#include "calque/ops.h"

#pragma GCC visibility push(default)
namespace calque {

enum class ScanDirection : uint8_t { forward, reverse };

/// Carries a state through a sequence, as jax.lax.scan does: `body(state, x)` gives `std::pair(next state, output)` for each step
/// x [...] of `xs` [T, ...], from the first to the last or the other way. The state is anything that can be copied; the output
/// is a tensor of one type in all steps. Returns the last state, and the outputs [T, ...] in the order of the sequence; with
/// no step at all, `state` and an empty tensor of the type that the body would give. Ordinary ops and gradients; inside
/// compile() it becomes one `loop` of the IR. Throws UserError when xs has no axis.
template <class Body, class State>
  requires requires(Body& body, const State& state, const Tensor& x) {
    { body(state, x).first } -> std::convertible_to<State>;
    { body(state, x).second } -> std::convertible_to<Tensor>;
  }
std::pair<State, Tensor> scan(Body&& body, State state, const Tensor& xs,
                              ScanDirection direction = ScanDirection::forward) {
  if (!xs || xs.rank() == 0) throw UserError("scan: the sequence has no axis of steps; it must be [T, ...]");
  const int64_t steps = xs.size(0);
  if (steps == 0) {
    Shape one = xs.shape();
    one.erase(0);
    const Tensor output = body(state, zeros(one, xs.dtype())).second;
    Shape none = output.shape();
    none.insert(0, 0);
    return {std::move(state), zeros(none, output.dtype())};
  }
  std::vector<Tensor> outputs(static_cast<size_t>(steps));
  for (int64_t i = 0; i < steps; ++i) {
    const int64_t step = direction == ScanDirection::forward ? i : steps - 1 - i;
    auto [next, output] = body(std::as_const(state), select(xs, 0, step));
    state = std::move(next);
    outputs[static_cast<size_t>(step)] = std::move(output);
  }
  return {std::move(state), stack(outputs)};
}

}  // namespace calque
#pragma GCC visibility pop
