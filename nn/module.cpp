// Registration and naming of parameters.
#include "calque/nn/module.h"

#include "calque/autograd.h"

namespace calque {

Tensor find(const NamedTensors& tensors, std::string_view name) {
  for (const auto& [other, tensor] : tensors)
    if (other == name) return tensor;
  return {};
}

}  // namespace calque

namespace calque::nn {

NamedTensors Module::named_parameters() const {
  NamedTensors result;
  collect("", result);
  return result;
}

void Module::collect(const std::string& prefix, NamedTensors& result) const {
  for (const auto& [name, parameter] : parameters_) result.emplace_back(prefix + name, parameter);
  for (const auto& [name, module] : modules_) module->collect(prefix + name + ".", result);
}

std::vector<Tensor> Module::parameters() const {
  std::vector<Tensor> result;
  for (auto& [name, parameter] : named_parameters()) result.push_back(parameter);
  return result;
}

void Module::zero_grad() {
  for (Tensor& parameter : parameters()) parameter.clear_grad();
}

void Module::load_parameters(const NamedTensors& tensors) {
  NamedTensors own = named_parameters();
  for (const auto& [name, parameter] : own) {
    const Tensor source = find(tensors, name);
    if (!source) throw UserError("load_parameters: there is no tensor for the parameter " + name);
    const Type expected{parameter.dtype(), parameter.shape()}, given{source.dtype(), source.shape()};
    if (!(expected == given))
      throw UserError("load_parameters: " + name + " is " + to_string(expected) +
                      ", and the tensor given for it is " + to_string(given));
  }
  for (const auto& [name, tensor] : tensors)
    if (!find(own, name)) throw UserError("load_parameters: there is no parameter named " + name);
  const NoGradGuard guard;
  for (auto& [name, parameter] : own) parameter.assign_(find(tensors, name));
}

Tensor Module::register_parameter(std::string name, Tensor parameter) {
  check_name(name);
  parameter.set_requires_grad();
  parameters_.emplace_back(std::move(name), parameter);
  return parameter;
}

void Module::register_module(std::string name, Module& module) {
  check_name(name);
  modules_.emplace_back(std::move(name), &module);
}

void Module::check_name(const std::string& name) const {
  if (name.empty() || name.find('.') != std::string::npos)
    throw UserError("a parameter's name must not be empty or have a dot, got '" + name + "'");
  bool taken = static_cast<bool>(find(parameters_, name));
  for (const auto& [other, module] : modules_) taken |= other == name;
  if (taken) throw UserError("the name " + name + " is registered twice in one module");
}

}  // namespace calque::nn
