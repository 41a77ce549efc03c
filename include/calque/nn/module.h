// Module: named parameters, and modules inside modules.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "calque/tensor.h"

namespace calque {

/// Tensors with names, in an order that means something: of a module's parameters, of a file.
using NamedTensors = std::vector<std::pair<std::string, Tensor>>;

/// The tensor of that name; empty when there is none.
Tensor find(const NamedTensors& tensors, std::string_view name);

}  // namespace calque

namespace calque::nn {

/// A base for things with parameters. It is an address that parents point at, so it is neither copied nor
/// moved.
class Module {
 public:
  Module(const Module&) = delete;
  Module& operator=(const Module&) = delete;

  /// Own parameters in the order of registration, then those of the inner modules, named `module.parameter`.
  NamedTensors named_parameters() const;
  std::vector<Tensor> parameters() const;
  /// Drops the gradients of all parameters.
  void zero_grad();
  /// Copies elements into the parameters of the same names. Throws UserError, and changes nothing, when a
  /// parameter has no tensor, a tensor no parameter, or a type differs.
  void load_parameters(const NamedTensors& tensors);

 protected:
  Module() = default;
  ~Module() = default;
  /// Asks for the gradient of `parameter` and returns it, so that a member can be initialised by it. Throws
  /// UserError for a name that is empty, has a dot or is taken.
  Tensor register_parameter(std::string name, Tensor parameter);
  /// `module` must live as long as this one: make it a member.
  void register_module(std::string name, Module& module);

 private:
  void check_name(const std::string& name) const;
  void collect(const std::string& prefix, NamedTensors& result) const;

  NamedTensors parameters_;
  std::vector<std::pair<std::string, Module*>> modules_;
};

}  // namespace calque::nn
