// The registry of state outside of arguments: tensor variables and mode switches (see calque/state.h).
#pragma once

#include <atomic>
#include <cstdint>
#include <span>
#include <vector>

#include "calque/state.h"
#include "runtime/tensor_impl.h"

namespace calque {

namespace detail {
/// One registered variable. It outlives its registration for as long as somebody refers to it.
struct StateVariable {
  std::atomic<int32_t> references{1};
  std::atomic<Tensor*> variable;  // null once the slot is gone

  explicit StateVariable(Tensor& tensor) : variable(&tensor) {}
  void retain() { references.fetch_add(1, std::memory_order_relaxed); }
  void release() noexcept;
};
}  // namespace detail

/// A registered variable, and the tensor that it held: compare, do not follow.
struct StateSnapshot {
  Ref<detail::StateVariable> variable;
  const TensorImpl* tensor;
};

/// All variables and what they hold now. Other threads may be assigning to theirs meanwhile.
std::vector<StateSnapshot> snapshot_state();

/// What the variables of a snapshot hold now; null also for one that is registered no more. To compare, not
/// to follow.
std::vector<const TensorImpl*> look_again(std::span<const StateSnapshot> snapshot);

/// Differs when a mode switch of the process has another setting than before; the same again when it is set
/// back.
uint64_t mode_fingerprint();
/// The same of the switches that this thread has set.
uint64_t own_mode_fingerprint();

}  // namespace calque
