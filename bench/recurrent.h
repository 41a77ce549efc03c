// A cell of the gallery as something to time: over a sequence or for one step, forward or with gradients,
// in each of the ways that a user can run it.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "bench/measure.h"
#include "bench/report.h"
#include "calque/pure.h"
#include "examples/cells/cell.h"

namespace calque::bench {

using cells::Cell;
using cells::Tensors;

/// What one call computes: outputs over the whole sequence and gradients of all weights; or one step's output
/// and state, and gradients of weights, state and input.
enum class What : uint8_t { sequence, step };

/// One cell with the tensors that it works on: xs [T,B,I], its weights and first state, by the names in
/// files.
struct Data {
  const Cell* cell = nullptr;
  Tensors weights, state;
  Tensor xs;

  static Data make(const Cell& cell, int64_t batch, int64_t inputs, int64_t hidden, int64_t steps) {
    manual_seed(1);
    Data data{&cell, cell.make_weights(inputs, hidden), {}, nn::normal({steps, batch, inputs})};
    data.state = cell.make_state(data.weights, batch);
    return data;
  }
  NamedTensors named() const {
    NamedTensors tensors = {{"xs", xs}};
    for (size_t i = 0; i < weights.size(); ++i) tensors.emplace_back(cell->weight_names[i], weights[i]);
    for (size_t i = 0; i < state.size(); ++i) tensors.emplace_back(fmt::format("state{}", i), state[i]);
    return tensors;
  }
  static Data read(const Cell& cell, const NamedTensors& tensors) {
    Data data{&cell, {}, {}, find(tensors, "xs")};
    if (!data.xs) throw UserError("the file has no xs [T,B,I]");
    for (const std::string& name : cell.weight_names) {
      data.weights.push_back(find(tensors, name));
      if (!data.weights.back()) throw UserError("the file has no weight " + name + " of " + cell.name);
    }
    while (const Tensor part = find(tensors, fmt::format("state{}", data.state.size())))
      data.state.push_back(part);
    return data;
  }
};

/// Floating-point operations of the matrix products of one call, and bytes of the matrices that each step has
/// to read again. With gradients a product counts three times, but twice where nobody asks for the gradient
/// of the input.
struct Work {
  double flops = 0, recurrent_bytes = 0, input_bytes = 0;
};

inline Work work_of(const Data& data, What what, bool has_gradients) {
  Work work;
  const double steps = what == What::step ? 1 : static_cast<double>(data.xs.size(0));
  for (size_t i = 0; i < data.weights.size(); ++i) {
    const Tensor& matrix = data.weights[i];
    if (matrix.rank() != 2) continue;
    const bool is_of_input = data.cell->weight_names[i].starts_with("wx");
    const double times = !has_gradients ? 1 : is_of_input && what == What::sequence ? 2 : 3;
    const auto elements = static_cast<double>(matrix.element_count());
    work.flops += times * 2.0 * steps * static_cast<double>(data.xs.size(1)) * elements;
    (is_of_input ? work.input_bytes : work.recurrent_bytes) += 4 * elements;
  }
  return work;
}

/// One way to run a workload: `call` gives what is to be compared; `stats` is of what was compiled, if any.
struct Way {
  std::function<Tensors()> call;
  std::function<CompileStats()> stats{};
};

namespace detail {

inline Tensors all_of(const Tensor& first, const Tensors& rest) {
  Tensors all = {first};
  all.insert(all.end(), rest.begin(), rest.end());
  return all;
}

/// Runs `forward`, which gives outputs and whatever else, with or without gradients.
inline std::function<Tensors()> call_of(std::shared_ptr<const Data> data, What what, bool has_gradients,
                                        std::function<Tensors()> forward) {
  if (!has_gradients)
    return [forward = std::move(forward)] {
      const NoGradGuard guard;
      return forward();
    };
  Tensors leaves = data->weights;
  if (what == What::step) {
    leaves.insert(leaves.end(), data->state.begin(), data->state.end());
    leaves.push_back(data->xs);
  }
  for (Tensor& leaf : leaves) leaf.set_requires_grad();
  return [forward = std::move(forward), leaves] {
    const Tensor loss = forward()[0];
    return all_of(loss.detach(), grad(std::span(&loss, 1), std::span<const Tensor>(leaves)));
  };
}

/// The function that a user would write, and may compile as a whole.
template <class StepFunction>
auto whole(StepFunction step, What what, bool has_gradients) {
  return [=](const Tensor& xs, const Tensors& state, const Tensors& weights) mutable {
    if (what == What::step) {
      const cells::Step<Tensors> next = step(xs[0], state, weights);
      return has_gradients ? Tensors{sum(next.output)} : all_of(next.output, next.state);
    }
    const cells::Sequence result = cells::over_sequence(step, xs, state, weights);
    return has_gradients ? Tensors{sum(result.outputs)} : all_of(result.outputs, result.state);
  };
}

}  // namespace detail

/// The ways by name. A further one (another way to say the loop) is one more name and one more line of
/// make_way().
inline std::vector<std::string> way_names(What what) {
  if (what == What::step) return {"eager", "compiled_cell", "pure_cell"};
  return {"eager", "compiled_cell", "pure_cell", "compiled_loop", "pure_loop"};
}

/// Throws UserError for a way that there is not.
inline Way make_way(const std::string& name, const std::shared_ptr<const Data>& data, What what,
                    bool has_gradients) {
  const auto way = [&](auto function, std::function<CompileStats()> stats) {
    return Way{detail::call_of(
                   data, what, has_gradients,
                   [data, function]() mutable { return function(data->xs, data->state, data->weights); }),
               std::move(stats)};
  };
  const auto with_stats = [&](auto function, auto compiled) {
    return way(function, [compiled] { return compiled.stats(); });
  };
  const CompileOptions options{.name = data->cell->name};
  const auto& step = data->cell->step;
  const auto loop = detail::whole(step, what, has_gradients);
  if (name == "eager") return way(loop, nullptr);
  if (name == "compiled_cell") {
    const auto cell = compile(step, options);
    return with_stats(detail::whole(cell, what, has_gradients), cell);
  }
  if (name == "pure_cell") {
    const auto cell = compile(pure, step, options);
    return with_stats(detail::whole(cell, what, has_gradients), cell);
  }
  if (name == "compiled_loop") {
    const auto compiled = compile(loop, options);
    return with_stats(compiled, compiled);
  }
  if (name == "pure_loop") {
    const auto compiled = compile(pure, loop, options);
    return with_stats(compiled, compiled);
  }
  throw UserError("there is no way named " + name);
}

/// Names of what a way gives, in its order.
inline std::vector<std::string> result_names(const Data& data, What what, bool has_gradients) {
  std::vector<std::string> names;
  const size_t states = data.state.size();
  if (!has_gradients) {
    names.push_back("outputs");
    for (size_t i = 0; i < states; ++i) names.push_back(fmt::format("state{}", i));
    return names;
  }
  names.push_back("loss");
  for (const std::string& weight : data.cell->weight_names) names.push_back("gradient_" + weight);
  if (what == What::sequence) return names;
  for (size_t i = 0; i < states; ++i) names.push_back(fmt::format("gradient_state{}", i));
  names.push_back("gradient_xs");
  return names;
}

}  // namespace calque::bench
