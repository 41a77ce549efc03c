// Steps and state of any optimiser.
#include "calque/nn/optimizer.h"

#include "calque/autograd.h"
#include "calque/ops.h"

namespace calque::optim {

namespace {

Tensor named(const std::string& kind, const NamedTensors& state, const std::string& name, const Type& type) {
  const Tensor tensor = find(state, name);
  if (!tensor) throw UserError(kind + ": the state has no tensor named " + name);
  const Type given{tensor.dtype(), tensor.shape()};
  if (!(given == type)) throw UserError(kind + ": " + name + " must be " + to_string(type) + ", got " + to_string(given));
  return tensor;
}

std::string numbered(const std::string& name, size_t i) { return name + "." + std::to_string(i); }

}  // namespace

Optimizer::Optimizer(std::string kind, std::vector<Tensor> parameters, double learning_rate, std::vector<std::string> kept)
    : kind_(std::move(kind)), parameters_(std::move(parameters)), names_(std::move(kept)), learning_rate_(learning_rate) {
  require(learning_rate >= 0, "the learning rate", "0 or more", learning_rate);
  for (size_t i = 0; i < parameters_.size(); ++i) {
    const Tensor& parameter = parameters_[i];
    if (!parameter || !parameter.requires_grad())
      throw UserError(kind_ + ": parameter " + std::to_string(i) + " does not require grad");
    for (size_t j = 0; j < i; ++j)
      if (parameter.is_same(parameters_[j]))
        throw UserError(kind_ + ": parameters " + std::to_string(j) + " and " + std::to_string(i) + " are one tensor");
    for (size_t k = 0; k < names_.size(); ++k) kept_.push_back(zeros(parameter.shape(), parameter.dtype()));
  }
}

void Optimizer::require(bool holds, const char* what, const char* range, double value) const {
  if (!holds) throw UserError(kind_ + ": " + what + " must be " + range + ", got " + std::to_string(value));
}

std::span<Tensor> Optimizer::kept_beside(size_t parameter) {
  return std::span(kept_).subspan(parameter * names_.size(), names_.size());
}

void Optimizer::step() {
  const NoGradGuard guard;
  ++steps_;
  // All is asked for before anything is written: within a compiled function one plan makes it.
  std::vector<Tensor> updates(parameters_.size());
  for (size_t i = 0; i < parameters_.size(); ++i)
    if (const Tensor gradient = parameters_[i].grad()) updates[i] = updated(parameters_[i], gradient, kept_beside(i));
  for (size_t i = 0; i < parameters_.size(); ++i)
    if (updates[i]) parameters_[i].assign_(updates[i]);
}

void Optimizer::zero_grad() {
  for (Tensor& parameter : parameters_) parameter.clear_grad();
}

NamedTensors Optimizer::state() const {
  NamedTensors result = {{"step", from_value<int64_t>(steps_)}, {"learning_rate", from_value<double>(learning_rate_)}};
  for (size_t i = 0; i < kept_.size(); ++i)
    result.emplace_back(numbered(names_[i % names_.size()], i / names_.size()), kept_[i]);
  return result;
}

void Optimizer::check_state(const NamedTensors& state) const {
  const NamedTensors own = this->state();
  for (const auto& [name, tensor] : own) named(kind_, state, name, {tensor.dtype(), tensor.shape()});
  for (const auto& [name, tensor] : state)
    if (!find(own, name)) throw UserError(kind_ + ": the state's tensor " + name + " belongs to nothing");
  if (find(state, "step").item() < 0) throw UserError(kind_ + ": the state's step is negative");
}

void Optimizer::load_state(const NamedTensors& state) {
  check_state(state);
  std::vector<Tensor> kept;  // copies: the state may be another optimiser's, or be written to
  for (size_t i = 0; i < kept_.size(); ++i) {
    Tensor copy = zeros(kept_[i].shape(), kept_[i].dtype());
    kept.push_back(copy.assign_(find(state, numbered(names_[i % names_.size()], i / names_.size()))));
  }
  steps_ = find(state, "step").to_vector<int64_t>()[0];
  learning_rate_ = find(state, "learning_rate").item();
  kept_ = std::move(kept);
}

}  // namespace calque::optim
