// Clipping and the optimisers, in tensor ops, with as few passes over memory as the formulas allow.
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

namespace {

std::vector<std::string> kept_by(const SgdOptions& options) {
  return options.momentum != 0 ? std::vector<std::string>{"velocity"} : std::vector<std::string>{};
}

}  // namespace

Sgd::Sgd(std::vector<Tensor> parameters, const SgdOptions& options)
    : Optimizer("Sgd", std::move(parameters), options.learning_rate, kept_by(options)), options_(options) {
  require(options.momentum >= 0 && options.momentum < 1, "the momentum", "within [0, 1)", options.momentum);
  require(options.weight_decay >= 0, "the weight decay", "0 or more", options.weight_decay);
  if (options.nesterov && options.momentum == 0) throw UserError("Sgd: nesterov needs momentum, which is 0");
}

Tensor Sgd::updated(const Tensor& parameter, const Tensor& gradient, std::span<Tensor> kept) {
  Tensor g = options_.weight_decay != 0 ? gradient + options_.weight_decay * parameter : gradient;
  if (!kept.empty()) {
    Tensor& velocity = kept[0];
    velocity = options_.momentum * velocity + g;
    g = options_.nesterov ? g + options_.momentum * velocity : velocity;
  }
  return parameter - learning_rate() * g;
}

Adam::Adam(std::vector<Tensor> parameters, const AdamOptions& options) : Adam("Adam", std::move(parameters), options) {}

Adam::Adam(const char* kind, std::vector<Tensor> parameters, const AdamOptions& options)
    : Optimizer(kind, std::move(parameters), options.learning_rate, {"first", "second"}), options_(options) {
  require(options.beta1 >= 0 && options.beta1 < 1, "beta1", "within [0, 1)", options.beta1);
  require(options.beta2 >= 0 && options.beta2 < 1, "beta2", "within [0, 1)", options.beta2);
  require(options.epsilon >= 0, "epsilon", "0 or more", options.epsilon);
}

Tensor Adam::updated(const Tensor& parameter, const Tensor& gradient, std::span<Tensor> kept) {
  return descend(parameter, gradient, kept);
}

Tensor Adam::descend(const Tensor& from, const Tensor& gradient, std::span<Tensor> moments) {
  const auto t = static_cast<double>(steps());
  const double correction = std::sqrt(1.0 - std::pow(options_.beta2, t));
  const double rate = learning_rate() * correction / (1.0 - std::pow(options_.beta1, t));
  Tensor &m = moments[0], &v = moments[1];
  m = m + (1.0 - options_.beta1) * (gradient - m);
  v = v + (1.0 - options_.beta2) * (gradient * gradient - v);
  return from - rate * (m / (sqrt(v) + options_.epsilon * correction));
}

AdamW::AdamW(std::vector<Tensor> parameters, const AdamWOptions& options)
    : Adam("AdamW", std::move(parameters), {options.learning_rate, options.beta1, options.beta2, options.epsilon}),
      weight_decay_(options.weight_decay) {
  require(weight_decay_ >= 0, "the weight decay", "0 or more", weight_decay_);
}

Tensor AdamW::updated(const Tensor& parameter, const Tensor& gradient, std::span<Tensor> kept) {
  return descend(parameter * (1.0 - learning_rate() * weight_decay_), gradient, kept);
}

}  // namespace calque::optim
