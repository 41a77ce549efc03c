// Registration and naming of parameters and buffers.
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
  collect(&Module::parameters_, "", result);
  return result;
}

NamedTensors Module::named_buffers() const {
  NamedTensors result;
  collect(&Module::buffers_, "", result);
  return result;
}

void Module::collect(NamedTensors Module::*which, const std::string& prefix, NamedTensors& result) const {
  for (const auto& [name, tensor] : this->*which) result.emplace_back(prefix + name, tensor);
  for (const auto& [name, module] : modules_) module->collect(which, prefix + name + ".", result);
}

std::vector<Tensor> Module::parameters() const {
  std::vector<Tensor> result;
  for (auto& [name, parameter] : named_parameters()) result.push_back(parameter);
  return result;
}

void Module::zero_grad() {
  for (Tensor& parameter : parameters()) parameter.clear_grad();
}

NamedTensors Module::state() const {
  NamedTensors result = named_parameters();
  collect(&Module::buffers_, "", result);
  return result;
}

void Module::check_state(const NamedTensors& tensors) const {
  const NamedTensors own = state();
  for (const auto& [name, tensor] : own) {
    const Tensor source = find(tensors, name);
    if (!source) throw UserError("load_state: there is no tensor for " + name);
    const Type expected{tensor.dtype(), tensor.shape()}, given{source.dtype(), source.shape()};
    if (!(expected == given))
      throw UserError("load_state: " + name + " is " + to_string(expected) +
                      ", and the tensor given for it is " + to_string(given));
  }
  for (const auto& [name, tensor] : tensors)
    if (!find(own, name)) throw UserError("load_state: the module has no parameter or buffer named " + name);
}

void Module::load_state(const NamedTensors& tensors) {
  check_state(tensors);
  const NoGradGuard guard;
  NamedTensors own = state();
  for (auto& [name, tensor] : own) tensor.assign_(find(tensors, name));
}

void Module::train(bool training) {
  is_training_.set(training);
  for (auto& [name, module] : modules_) module->train(training);
}

Tensor Module::register_parameter(std::string name, Tensor parameter) {
  check_name(name);
  parameter.set_requires_grad();
  parameters_.emplace_back(std::move(name), parameter);
  slots_.emplace_back(registered_.emplace_back(parameter));
  return parameter;
}

Tensor Module::register_buffer(std::string name, Tensor buffer) {
  check_name(name);
  if (buffer.requires_grad())
    throw UserError("register_buffer: " + name + " requires grad; detach() it first");
  buffers_.emplace_back(std::move(name), buffer);
  slots_.emplace_back(registered_.emplace_back(buffer));
  return buffer;
}

void Module::register_module(std::string name, Module& module) {
  check_name(name);
  module.train(is_training());
  modules_.emplace_back(std::move(name), &module);
}

void Module::check_name(const std::string& name) const {
  if (name.empty() || name.find('.') != std::string::npos)
    throw UserError("the name of a parameter, buffer or module must not be empty or have a dot, got '" +
                    name + "'");
  bool taken = find(parameters_, name) || find(buffers_, name);
  for (const auto& [other, module] : modules_) taken |= other == name;
  if (taken) throw UserError("the name " + name + " is registered twice in one module");
}

}  // namespace calque::nn
