// Module: named parameters and buffers, a training or evaluation mode, and modules inside modules.
#pragma once

#include <deque>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "calque/state.h"
#include "calque/tensor.h"

#pragma GCC visibility push(default)

namespace calque {

/// Tensors with names, in an order that means something: of a module's parameters, of a file.
using NamedTensors = std::vector<std::pair<std::string, Tensor>>;

/// The tensor of that name; empty when there is none.
Tensor find(const NamedTensors& tensors, std::string_view name);

}  // namespace calque

namespace calque::nn {

/// A base for things with parameters. It is an address that parents point at, so it is neither copied nor
/// moved.
class Module : public Identity {
 public:
  /// Own parameters in the order of registration, then those of the inner modules, named `module.parameter`.
  NamedTensors named_parameters() const;
  std::vector<Tensor> parameters() const;
  /// The same of buffers: tensors that belong to the module's state and have no gradient.
  NamedTensors named_buffers() const;
  /// Drops the gradients of all parameters.
  void zero_grad();

  /// All parameters, then all buffers: what a file has to hold. The tensors are the module's own, not copies.
  NamedTensors state() const;
  /// Copies elements into the parameters and buffers of the same names. Throws UserError, and changes
  /// nothing, when one of them has no tensor, a tensor belongs to none, or a type differs.
  void load_state(const NamedTensors& tensors);
  /// Throws what load_state would throw, and changes nothing.
  void check_state(const NamedTensors& tensors) const;

  /// Puts this module and all inner ones into training mode (as they are made) or, with false, into
  /// evaluation mode. What that means is the layer's: dropout drops in training only.
  void train(bool training = true);
  void eval() { train(false); }
  bool is_training() const { return is_training_.get(); }

 protected:
  Module() = default;
  ~Module() = default;
  /// Asks for the gradient of `parameter` and returns it, so that a member can be initialised by it. Throws
  /// UserError for a name that is empty, has a dot or is taken.
  Tensor register_parameter(std::string name, Tensor parameter);
  /// The same for a tensor without gradient that is saved and loaded with the parameters.
  Tensor register_buffer(std::string name, Tensor buffer);
  /// A tensor variable that changes from call to call and is carried, not saved (the state of a stream): a function
  /// compiled as pure reads it anew at each call, and assigns to it as the module's code does.
  void register_carried(Tensor& variable) { slots_.emplace_back(variable); }
  /// `module` must live as long as this one: make it a member. It takes over this module's mode.
  void register_module(std::string name, Module& module);

 private:
  void check_name(const std::string& name) const;
  void collect(NamedTensors Module::*which, const std::string& prefix, NamedTensors& result) const;

  NamedTensors parameters_, buffers_;
  std::vector<std::pair<std::string, Module*>> modules_;
  std::deque<Tensor> registered_;  // parameters and buffers, where slots find them
  std::deque<StateSlot> slots_;
  ModeSwitch is_training_{true};
};

}  // namespace calque::nn

#pragma GCC visibility pop
