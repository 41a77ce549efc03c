// Clipping and Adam, in tensor ops, with as few passes over memory as the formulas allow.
#include "calque/nn/optim.h"

#include <cmath>

#include "calque/autograd.h"
#include "calque/ops.h"

namespace calque::optim {

double clip_grad_norm(std::span<const Tensor> parameters, double max_norm) {
  const NoGradGuard guard;
  std::vector<Tensor> squares;  // read only after all are under way
  for (const Tensor& parameter : parameters)
    if (const Tensor gradient = parameter.grad()) squares.push_back(sum(gradient * gradient));
  double total = 0;
  for (const Tensor& square : squares) total += square.item();
  const double norm = std::sqrt(total);
  if (!(norm > max_norm) || !std::isfinite(norm)) return norm;
  const double factor = max_norm / (norm + 1e-6);
  for (Tensor parameter : parameters)
    if (const Tensor gradient = parameter.grad()) parameter.set_grad(gradient * factor);
  return norm;
}

Adam::Adam(std::vector<Tensor> parameters, const AdamOptions& options)
    : parameters_(std::move(parameters)), options_(options) {
  for (const Tensor& parameter : parameters_)
    moments_.push_back(
        {zeros(parameter.shape(), parameter.dtype()), zeros(parameter.shape(), parameter.dtype())});
}

void Adam::step() {
  const NoGradGuard guard;
  ++steps_;
  const auto& [learning_rate, beta1, beta2, epsilon] = options_;
  const double correction = std::sqrt(1.0 - std::pow(beta2, static_cast<double>(steps_)));
  const double rate = learning_rate * correction / (1.0 - std::pow(beta1, static_cast<double>(steps_)));
  for (size_t i = 0; i < parameters_.size(); ++i) {
    const Tensor g = parameters_[i].grad();
    if (!g) continue;
    auto& [m, v] = moments_[i];
    m = m + (1.0 - beta1) * (g - m);
    v = v + (1.0 - beta2) * (g * g - v);
    parameters_[i].assign_(parameters_[i] - rate * (m / (sqrt(v) + epsilon * correction)));
  }
}

void Adam::zero_grad() {
  for (Tensor& parameter : parameters_) parameter.clear_grad();
}

NamedTensors Adam::state() const {
  NamedTensors result = {{"step", from_value<int64_t>(steps_)}};
  for (size_t i = 0; i < moments_.size(); ++i) {
    result.emplace_back("first." + std::to_string(i), moments_[i].first);
    result.emplace_back("second." + std::to_string(i), moments_[i].second);
  }
  return result;
}

void Adam::load_state(const NamedTensors& state) {
  const auto named = [&](const std::string& name, DType dtype, const Shape& shape) {
    const Tensor tensor = find(state, name);
    if (!tensor) throw UserError("Adam: the state has no tensor named " + name);
    if (tensor.dtype() != dtype || !(tensor.shape() == shape))
      throw UserError("Adam: " + name + " must be " + to_string(Type{dtype, shape}) + ", got " +
                      to_string(Type{tensor.dtype(), tensor.shape()}));
    return tensor;
  };
  const int64_t steps = named("step", DType::i64, {}).to_vector<int64_t>()[0];
  if (steps < 0) throw UserError("Adam: the state's step is negative");
  std::vector<Moments> moments;
  for (size_t i = 0; i < parameters_.size(); ++i) {
    const DType dtype = parameters_[i].dtype();
    const Shape& shape = parameters_[i].shape();
    moments.push_back({named("first." + std::to_string(i), dtype, shape),
                       named("second." + std::to_string(i), dtype, shape)});
  }
  steps_ = steps;
  moments_ = std::move(moments);
}

}  // namespace calque::optim
