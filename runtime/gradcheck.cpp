// Gradients of backward beside central differences, element by element.
#include "calque/gradcheck.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "calque/autograd.h"
#include "calque/ops.h"
#include "ir/op/error.h"

namespace calque {

namespace {

using Tensors = std::vector<Tensor>;

bool is_checked(const Tensor& tensor) { return tensor && is_floating(tensor.dtype()); }

/// The inputs as leaves of their own with elements of their own, so that nothing of the caller's is touched.
Tensors fresh_inputs(std::span<const Tensor> inputs) {
  Tensors result;
  for (const Tensor& input : inputs) {
    if (!input.requires_grad()) {
      result.push_back(input);
      continue;
    }
    result.push_back(from_vector(input.to_vector<double>(), input.shape()));
    result.back().set_requires_grad();
  }
  return result;
}

void check_inputs(std::span<const Tensor> inputs) {
  const auto wanted = [](const Tensor& input) { return input.requires_grad(); };
  if (std::none_of(inputs.begin(), inputs.end(), wanted)) throw UserError("gradcheck: no input requires grad");
  for (const Tensor& input : inputs)
    if (wanted(input) && input.dtype() != DType::f64)
      throw UserError(fmt::format("gradcheck: an input is {}; differences need f64, cast it first", name(input.dtype())));
}

std::vector<std::vector<double>> values_of(const Tensors& tensors) {
  std::vector<std::vector<double>> result;
  for (const Tensor& tensor : tensors)
    result.push_back(is_checked(tensor) ? cast(tensor, DType::f64).to_vector<double>() : std::vector<double>());
  return result;
}

/// A function under test with its inputs, and the worst of what was found.
class Check {
 public:
  Check(const DifferentiableFunction& function, std::span<const Tensor> inputs, const GradcheckOptions& options,
        const char* what)
      : function_(function), inputs_(fresh_inputs(inputs)), options_(options), what_(what) {}

  GradcheckResult run() {
    const Tensors outputs = function_(inputs_);
    Tensors leaves;
    for (const Tensor& input : inputs_)
      if (input.requires_grad()) leaves.push_back(input);
    std::vector<std::vector<Tensors>> jacobian;  // [output][element of it][leaf]
    for (const Tensor& output : outputs) jacobian.push_back(rows_of(output, leaves));
    for (size_t leaf = 0; leaf < leaves.size(); ++leaf) compare_leaf(leaves[leaf], leaf, outputs, jacobian);
    return result_;
  }

 private:
  /// Gradients of each element of an output.
  std::vector<Tensors> rows_of(const Tensor& output, const Tensors& leaves) const {
    std::vector<Tensors> rows;
    if (!is_checked(output)) return rows;
    for (int64_t element = 0; element < output.element_count(); ++element) {
      if (!output.requires_grad()) {
        Tensors& row = rows.emplace_back();
        for (const Tensor& leaf : leaves) row.push_back(zeros(leaf.shape(), DType::f64));
        continue;
      }
      std::vector<double> one(static_cast<size_t>(output.element_count()), 0.0);
      one[element] = 1;
      const Tensor seed[] = {cast(from_vector(one, output.shape()), output.dtype())};
      rows.push_back(grad(output, leaves, {.output_gradients = seed}));
    }
    return rows;
  }

  void compare_leaf(Tensor& leaf, size_t leaf_index, const Tensors& outputs,
                    const std::vector<std::vector<Tensors>>& jacobian) {
    std::vector<double> values = leaf.to_vector<double>();
    for (size_t i = 0; i < values.size(); ++i) {
      const double before = values[i];
      const auto move_to = [&](double value) {
        values[i] = value;
        no_grad([&] { leaf.assign_(from_vector(values, leaf.shape())); });
      };
      move_to(before + options_.step);
      const auto above = values_of(function_(inputs_));
      move_to(before - options_.step);
      const auto below = values_of(function_(inputs_));
      move_to(before);
      for (size_t output = 0; output < outputs.size(); ++output)
        for (size_t element = 0; element < above[output].size(); ++element)
          compare({output, element, leaf_index, i},
                  jacobian[output][element][leaf_index].to_vector<double>()[i],
                  (above[output][element] - below[output][element]) / (2 * options_.step));
    }
  }

  struct Place {
    size_t output, element, input, input_element;
  };

  void compare(const Place& place, double gradient, double difference) {
    const double error = std::abs(gradient - difference);
    const bool is_good = error <= options_.absolute_tolerance + options_.relative_tolerance * std::abs(difference);
    const bool is_worst = !(error <= result_.largest_error);  // NaN counts as worst
    if (is_worst) result_.largest_error = error;
    if (is_good || (!result_.passed && !is_worst)) return;
    result_.passed = false;
    result_.report = fmt::format("d {} {}, element {} / d input {}, element {}: backward gives {}, differences {}", what_,
                                 place.output, place.element, place.input, place.input_element, gradient, difference);
  }

  const DifferentiableFunction& function_;
  Tensors inputs_;
  const GradcheckOptions& options_;
  const char* what_;
  GradcheckResult result_;
};

/// The gradients of `function`, weighted so that no two elements count the same, as a function of its own.
DifferentiableFunction gradients_of(const DifferentiableFunction& function) {
  return [&function](std::span<const Tensor> inputs) {
    Tensors leaves, outputs, weights;
    for (const Tensor& input : inputs)
      if (input.requires_grad()) leaves.push_back(input);
    for (const Tensor& output : function(inputs)) {
      if (!is_checked(output) || !output.requires_grad()) continue;
      std::vector<double> weight(static_cast<size_t>(output.element_count()));
      for (size_t i = 0; i < weight.size(); ++i) weight[i] = std::sin(static_cast<double>(i + outputs.size()) + 1);
      outputs.push_back(output);
      weights.push_back(cast(from_vector(weight, output.shape()), output.dtype()));
    }
    return grad(outputs, leaves, {.create_graph = true, .output_gradients = weights});
  };
}

}  // namespace

GradcheckResult gradcheck(const DifferentiableFunction& function, std::span<const Tensor> inputs,
                          const GradcheckOptions& options) {
  check_inputs(inputs);
  const GradcheckResult first = Check(function, inputs, options, "output").run();
  if (!first || !options.second_order) return first;
  const DifferentiableFunction gradients = gradients_of(function);
  return Check(gradients, inputs, options, "gradient").run();
}

GradcheckResult gradcheck(const std::function<Tensor(const Tensor&)>& function, const Tensor& input,
                          const GradcheckOptions& options) {
  return gradcheck([&](std::span<const Tensor> inputs) { return Tensors{function(inputs[0])}; }, std::span(&input, 1),
                   options);
}

}  // namespace calque
