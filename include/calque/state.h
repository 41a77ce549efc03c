// State outside of arguments: what compile(pure, ...) needs to know of the things that a function reaches by
// reference.
//
// nn::Module registers itself, its parameters and its modes here. A class of one's own does the same with
// members of these types; a function that depends on other state is not pure, and is compiled without `pure`.
#pragma once

#include <cstdint>

#include "calque/tensor.h"

#pragma GCC visibility push(default)

namespace calque {

/// A base for things that functions take by reference and that differ from each other by being different
/// things: modules. Neither copied nor moved.
class Identity {
 public:
  Identity(const Identity&) = delete;
  Identity& operator=(const Identity&) = delete;
  /// Never given twice in a process; never 0.
  uint64_t identity() const { return identity_; }

 protected:
  Identity();
  ~Identity() = default;

 private:
  uint64_t identity_;
};

namespace detail {
struct StateVariable;  // runtime/state.h
}

/// Registers a tensor variable: pure functions that use its tensor read the variable anew at each call, so
/// that updates in place and replacement are seen, and what a call assigns to it is assigned by later calls
/// too. The variable must stay where it is for as long as the slot lives.
class StateSlot {
 public:
  explicit StateSlot(Tensor& variable);
  ~StateSlot();
  StateSlot(const StateSlot&) = delete;
  StateSlot& operator=(const StateSlot&) = delete;

 private:
  detail::StateVariable* variable_;
};

/// A switch such as "training": a pure function has keys of their own for each setting of all switches of the
/// process.
class ModeSwitch : Identity {
 public:
  explicit ModeSwitch(bool initial) : initial_(initial), value_(initial) {}
  ~ModeSwitch() { set(initial_); }
  bool get() const { return value_; }
  void set(bool value);

 private:
  bool initial_, value_;
};

}  // namespace calque

#pragma GCC visibility pop
