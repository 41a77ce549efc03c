// The training loop of `calque train` and `calque demo`: what is asked for, what came out.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "calque/nn.h"
#include "cli/language_model.h"
#include "cli/progress.h"

namespace calque::cli {

struct TrainingSettings {
  std::string cell = "layernorm_lstm";
  int64_t hidden = 256, batch = 16, length = 100, steps = 600;
  double learning_rate = 3e-3, clip = 1.0;
  uint64_t seed = 1;
};

struct TrainingCurve {
  std::vector<double> bits;     // loss of each step, in bits per character
  std::vector<double> seconds;  // of each step
  double total_seconds = 0;     // first call and compiling included
  bool interrupted = false;
  /// Characters of one step.
  int64_t characters_per_step = 0;
  /// Median seconds of a step in the second half, when all is warm.
  double steady_seconds() const;
  /// Mean loss of the last tenth of the steps.
  double final_bits() const;
};

using AnyCell = std::function<CellState(const Tensor&, const Tensor&, const Tensor&, const CellWeights&)>;

/// A training under way. Several may take turns: each keeps its own optimiser, state and times.
class TrainingRun {
 public:
  TrainingRun(LanguageModel& model, AnyCell cell, const nn::TextBatches& batches, const TrainingSettings& settings,
              const std::string& label);
  /// Does up to `steps` more steps and shows progress. Ctrl-C ends it after the step that is under way.
  void advance(int64_t steps);
  bool is_done() const;
  bool was_interrupted() const { return curve_.interrupted; }
  /// What came out so far; the line of progress ends.
  const TrainingCurve& finish();

 private:
  LanguageModel& model_;
  AnyCell cell_;
  const nn::TextBatches& batches_;
  const TrainingSettings& settings_;
  optim::Adam adam_;
  CellState state_;
  TrainingCurve curve_;
  Progress progress_;
};

/// A model that the seed alone determines.
std::unique_ptr<LanguageModel> make_model(const TrainingSettings& settings, int64_t vocabulary);

/// The text for a terminal: control characters other than tab and newline, and bytes that are not UTF-8,
/// become '?'.
std::string printable(const std::string& text);

/// Text from the model: `length` characters after `prompt`. Temperature 0 takes the likeliest character each
/// time.
std::string generate(const LanguageModel& model, const nn::Vocabulary& vocabulary, const std::string& prompt,
                     int64_t length, double temperature, uint64_t seed);

}  // namespace calque::cli
