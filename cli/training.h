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
  /// Characters of one step.
  int64_t characters_per_step = 0;
  /// Median seconds of a step in the second half, when all is warm.
  double steady_seconds() const;
  /// Mean loss of the last tenth of the steps.
  double final_bits() const;
};

/// A training under way, within an InterruptGuard. Several may take turns: each keeps its own state and times.
class TrainingRun {
 public:
  /// `step` is a whole training step of `model` with `adam`.
  TrainingRun(LanguageModel& model, optim::Adam& adam, BatchFunction step, const nn::TextBatches& batches,
              const TrainingSettings& settings, const std::string& label);
  TrainingRun(const TrainingRun&) = delete;
  TrainingRun& operator=(const TrainingRun&) = delete;
  /// Does up to `steps` more steps and shows progress. A signal ends it after the step that is under way.
  void advance(int64_t steps);
  bool is_done() const;
  /// Steps done, in earlier runs of this training, too.
  int64_t steps() const { return step_; }
  /// What changes from step to step: model, optimiser, random numbers, step (which is the place in the text, too), and the cell's state.
  nn::Checkpoint& checkpoint() { return checkpoint_; }
  /// Goes on from `tensors`, the checkpoint of a training with the same settings. Throws UserError.
  void go_on_from(const NamedTensors& tensors);
  /// What came out so far; the line of progress ends.
  const TrainingCurve& finish();

 private:
  LanguageModel& model_;
  optim::Adam& adam_;
  BatchFunction train_on_;
  const nn::TextBatches& batches_;
  const TrainingSettings& settings_;
  CellState state_;
  int64_t step_ = 0;
  nn::Checkpoint checkpoint_;
  TrainingCurve curve_;
  Progress progress_;
};

/// A model that the seed alone determines.
std::unique_ptr<LanguageModel> make_model(const TrainingSettings& settings, int64_t vocabulary);

/// The optimiser of such a model.
optim::Adam make_optimizer(const LanguageModel& model, const TrainingSettings& settings);

/// The text for a terminal: control characters other than tab and newline, and bytes that are not UTF-8,
/// become '?'.
std::string printable(const std::string& text);

/// Text from the model: `length` characters after `prompt`. Temperature 0 takes the likeliest character each
/// time.
std::string generate(const LanguageModel& model, const nn::Vocabulary& vocabulary, const std::string& prompt,
                     int64_t length, double temperature, uint64_t seed);

}  // namespace calque::cli
