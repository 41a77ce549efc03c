// What all optimisers share: the parameters they update, tensors kept beside each, a learning rate, and their state.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "calque/nn/module.h"

#pragma GCC visibility push(default)

namespace calque::optim {

/// A base for optimisers. One of your own states in its constructor which tensors it keeps beside every parameter, and has a function
/// `updated`; steps, learning rate, saving and loading are here.
class Optimizer {
 public:
  Optimizer(const Optimizer&) = delete;
  Optimizer& operator=(const Optimizer&) = delete;
  virtual ~Optimizer() = default;

  /// One update of every parameter that has a gradient; the others, and what is kept beside them, stay as they are.
  void step();
  /// Drops the gradients.
  void zero_grad();

  double learning_rate() const { return learning_rate_; }
  /// For a schedule: `optimizer.set_learning_rate(rate * optim::cosine(optimizer.steps(), 10'000))`.
  void set_learning_rate(double value) { learning_rate_ = value; }
  /// Steps so far.
  int64_t steps() const { return steps_; }
  const std::vector<Tensor>& parameters() const { return parameters_; }

  /// What a file has to hold, to go on with the same bits: "step" i64[], "learning_rate" f64[], and for parameter i (of its type)
  /// what the optimiser keeps beside it, as "<name>.<i>".
  NamedTensors state() const;
  /// Takes over a state of the same parameters. Throws UserError, and changes nothing, when something is missing, of another
  /// type, or belongs to nothing.
  void load_state(const NamedTensors& state);
  /// Throws what load_state would throw, and changes nothing.
  void check_state(const NamedTensors& state) const;

 protected:
  /// `kind` names the optimiser in errors, `kept` the tensors beside each parameter; they begin at zero. Throws UserError for
  /// a parameter that does not require grad or is given twice.
  Optimizer(std::string kind, std::vector<Tensor> parameters, double learning_rate, std::vector<std::string> kept);
  /// Gives the new elements of `parameter`, and replaces the tensors of `kept` (in the order of the constructor). Called with
  /// gradients off, after steps() was counted up; nothing is written to parameters until it was called for all.
  virtual Tensor updated(const Tensor& parameter, const Tensor& gradient, std::span<Tensor> kept) = 0;
  /// Throws UserError: "<kind>: <what> must be <range>, got <value>" unless `holds`.
  void require(bool holds, const char* what, const char* range, double value) const;

 private:
  std::span<Tensor> kept_beside(size_t parameter);

  std::string kind_;
  std::vector<Tensor> parameters_;
  std::vector<std::string> names_;
  std::vector<Tensor> kept_;  // names_.size() for each parameter, in turn
  double learning_rate_;
  int64_t steps_ = 0;
};

}  // namespace calque::optim

#pragma GCC visibility pop
