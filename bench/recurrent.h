// A cell of the gallery, or a network of two, as something to time: over a sequence or for one step, forward
// or with gradients, in each of the ways that a user can run it.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "bench/measure.h"
#include "bench/network.h"
#include "bench/report.h"
#include "calque/pure.h"

namespace calque::bench {

/// What one call computes: outputs over the whole sequence and gradients of all weights; or one step's output
/// and state, and gradients of weights, state and input.
enum class What : uint8_t { sequence, step };

/// With dX, gradients of a sequence's inputs are computed, too.
enum class Mode : uint8_t { inference, training, training_with_dx };

inline Mode mode_named(const std::string& name) {
  if (name == "inference") return Mode::inference;
  if (name == "training") return Mode::training;
  if (name == "training_with_dX") return Mode::training_with_dx;
  throw UserError("there is no mode named " + name);
}

/// Floating-point operations of the matrix products of one call, and bytes of the matrices that each step has
/// to read again. With gradients a product counts three times, but twice where nobody asks for the gradient
/// of the input.
struct Work {
  double flops = 0, recurrent_bytes = 0, input_bytes = 0;
};

inline Work work_of(const Data& data, What what, Mode mode) {
  Work work;
  const double steps = what == What::step ? 1 : static_cast<double>(data.xs.size(0));
  const std::vector<std::string> names = data.network.weight_names();
  for (size_t i = 0; i < data.weights.size(); ++i) {
    const Tensor& matrix = data.weights[i];
    if (matrix.rank() != 2) continue;
    const bool is_of_input = names[i].starts_with("wx");
    const bool passes_on = !is_of_input || what == What::step || mode == Mode::training_with_dx ||
                           data.network.reads_outputs(i / data.network.cell->weight_names.size());
    const double times = mode == Mode::inference ? 1 : passes_on ? 3 : 2;
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

/// Runs `forward`, which gives outputs and whatever else, with or without gradients.
inline std::function<Tensors()> call_of(std::shared_ptr<const Data> data, What what, Mode mode,
                                        std::function<Tensors()> forward) {
  if (mode == Mode::inference)
    return [forward = std::move(forward)] {
      const NoGradGuard guard;
      return forward();
    };
  Tensors leaves = data->weights;
  if (what == What::step) leaves = joined(leaves, data->state);
  if (what == What::step || mode == Mode::training_with_dx) leaves.push_back(data->xs);
  for (Tensor& leaf : leaves) leaf.set_requires_grad();
  return [forward = std::move(forward), leaves] {
    const Tensor loss = forward()[0];
    return joined({loss.detach()}, grad(loss, leaves));
  };
}

/// The function that a user would write, and may compile as a whole.
template <class StepFunction>
auto whole(StepFunction step, What what, Network::Form form, bool has_gradients) {
  return [=](const Tensor& xs, const Tensors& state, const Tensors& weights) mutable {
    if (what == What::step) {
      const cells::Step<Tensors> next = step(xs[0], state, weights);
      return has_gradients ? Tensors{sum(next.output)} : joined({next.output}, next.state);
    }
    const cells::Sequence result = over_sequence(form, step, xs, state, weights);
    return has_gradients ? Tensors{sum(result.outputs)} : joined({result.outputs}, result.state);
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
inline Way make_way(const std::string& name, const std::shared_ptr<const Data>& data, What what, Mode mode) {
  const Network& network = data->network;
  if (what == What::step && network.parts() > 1)
    throw UserError("layers and directions are of a sequence only");
  const auto way = [&](auto function, std::function<CompileStats()> stats) {
    return Way{detail::call_of(
                   data, what, mode,
                   [data, function]() mutable { return function(data->xs, data->state, data->weights); }),
               std::move(stats)};
  };
  const auto with_stats = [&](auto function, auto compiled) {
    return way(function, [compiled] { return compiled.stats(); });
  };
  const CompileOptions options{.name = network.cell->name};
  const auto& step = network.cell->step;
  const auto whole = [&](const auto& step) {
    return detail::whole(step, what, network.form, mode != Mode::inference);
  };
  const auto loop = whole(step);
  if (name == "eager") return way(loop, nullptr);
  if (name == "compiled_cell") {
    const auto cell = compile(step, options);
    return with_stats(whole(cell), cell);
  }
  if (name == "pure_cell") {
    const auto cell = compile(pure, step, options);
    return with_stats(whole(cell), cell);
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
inline std::vector<std::string> result_names(const Data& data, What what, Mode mode) {
  std::vector<std::string> names;
  const size_t states = data.state.size();
  if (mode == Mode::inference) {
    names.push_back("outputs");
    for (size_t i = 0; i < states; ++i) names.push_back(fmt::format("state{}", i));
    return names;
  }
  names.push_back("loss");
  for (const std::string& weight : data.network.weight_names()) names.push_back("gradient_" + weight);
  if (what == What::step)
    for (size_t i = 0; i < states; ++i) names.push_back(fmt::format("gradient_state{}", i));
  if (what == What::step || mode == Mode::training_with_dx) names.push_back("gradient_xs");
  return names;
}

}  // namespace calque::bench
