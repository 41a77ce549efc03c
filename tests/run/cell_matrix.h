// The cells of the gallery, and models made of them, as functions of a sequence, a first state and weights.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "examples/cells/cell.h"
#include "tests/run/match_harness.h"

namespace calque::cell_matrix {

inline constexpr int64_t kInputs = 5, kHidden = 8;

/// A recurrent model: xs [T,B,I], its first state and weights -> outputs [T,B,...] and what the last step left.
struct Model {
  std::string name;
  std::function<Tensors()> make_weights;
  std::function<Tensors(const Tensors& weights, int64_t batch)> make_state;
  std::function<Tensors(const Tensor& xs, const Tensors& state, const Tensors& weights)> run;
  bool reads_each_step = false;  // the host looks at numbers: each step is a segment
};

/// The loop of one cell over a sequence.
Model model_of(const cells::Cell& cell);
/// Two LSTMs, the second over the outputs of the first, step by step.
Model stacked_lstm();
/// An LSTM from the first step to the last, and one from the last to the first, side by side.
Model bidirectional_lstm();
/// All of the gallery, then the two.
std::vector<Model> models();
/// The LSTM, that with layer norms, and the GRU.
std::vector<Model> standard_models();

enum class Wants : uint8_t { nothing, gradients };

/// Weights, first state and sequence of one call.
struct Workload {
  Workload(const Model& model, int64_t steps, int64_t batch, Wants wants);
  Tensors leaves() const;
  Tensors weights, state;
  Tensor xs;
};

/// What the model gives, drawing the same random numbers in each call.
template <class Run>
Tensors results_of(Run&& run, const Workload& work) {
  manual_seed(5);
  return run(work.xs, work.state, work.weights);
}

/// A weight for each element of a result, of which no two neighbours count alike.
inline Tensor result_weights(const Tensor& result) { return numbers(result.shape(), 0.2, 0.13); }

/// Gradients of the sum of `results` by those weights.
Tensors gradients_of(const Tensors& results, const Tensors& leaves);

/// Each within `bound` of the largest element expected.
void check_near(const Tensors& ours, const Tensors& expected, double bound);

}  // namespace calque::cell_matrix
