// Registered variables and modes.
#include "runtime/state.h"

#include <algorithm>
#include <mutex>

namespace calque {

namespace {

struct Registry {
  std::mutex mutex;
  std::vector<detail::StateVariable*> variables;
};

/// Never destroyed: modules may be objects of static duration.
Registry& registry() {
  static Registry* const instance = new Registry;
  return *instance;
}

std::atomic<uint64_t> next_identity{1}, fingerprint{0};
thread_local constinit uint64_t own_fingerprint = 0;

/// Spreads the bits of small numbers (the finaliser of MurmurHash3, Appleby 2011).
uint64_t spread(uint64_t x) {
  x = (x ^ x >> 33) * 0xff51afd7ed558ccdu;
  x = (x ^ x >> 33) * 0xc4ceb9fe1a85ec53u;
  return x ^ x >> 33;
}

}  // namespace

Identity::Identity() : identity_(next_identity.fetch_add(1, std::memory_order_relaxed)) {}

void ModeSwitch::set(bool value) {
  if (value == value_) return;
  value_ = value;
  fingerprint.fetch_xor(spread(identity()), std::memory_order_relaxed);
  own_fingerprint ^= spread(identity());
}

uint64_t own_mode_fingerprint() { return own_fingerprint; }
uint64_t mode_fingerprint() { return fingerprint.load(std::memory_order_relaxed); }

void detail::StateVariable::release() noexcept {
  if (references.fetch_sub(1, std::memory_order_acq_rel) == 1) delete this;
}

StateSlot::StateSlot(Tensor& variable) : variable_(new detail::StateVariable(variable)) {
  const std::lock_guard lock(registry().mutex);
  registry().variables.push_back(variable_);
}

StateSlot::~StateSlot() {
  {
    const std::lock_guard lock(registry().mutex);
    variable_->variable.store(nullptr, std::memory_order_release);
    std::erase(registry().variables, variable_);
  }
  variable_->release();
}

std::vector<StateSnapshot> snapshot_state() {
  const std::lock_guard lock(registry().mutex);
  std::vector<StateSnapshot> snapshot;
  snapshot.reserve(registry().variables.size());
  for (detail::StateVariable* variable : registry().variables)
    snapshot.push_back({Ref<detail::StateVariable>::share(variable),
                        variable->variable.load(std::memory_order_relaxed)->impl_while_assigned()});
  return snapshot;
}

std::vector<const TensorImpl*> look_again(std::span<const StateSnapshot> snapshot) {
  const std::lock_guard lock(registry().mutex);  // no slot goes away meanwhile
  std::vector<const TensorImpl*> now;
  now.reserve(snapshot.size());
  for (const StateSnapshot& entry : snapshot) {
    const Tensor* variable = entry.variable->variable.load(std::memory_order_relaxed);
    now.push_back(variable ? variable->impl_while_assigned() : nullptr);
  }
  return now;
}

}  // namespace calque
