// The training loop, and text made by the trained model.
#include "cli/training.h"

#include <algorithm>
#include <chrono>
#include <memory>
#include <numbers>

#include "cli/interrupt.h"

namespace calque::cli {

namespace {

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

}  // namespace

double TrainingCurve::steady_seconds() const {
  std::vector<double> late(seconds.begin() + static_cast<ptrdiff_t>(seconds.size() / 2), seconds.end());
  if (late.empty()) return 0;
  std::nth_element(late.begin(), late.begin() + static_cast<ptrdiff_t>(late.size() / 2), late.end());
  return late[late.size() / 2];
}

double TrainingCurve::final_bits() const {
  if (bits.empty()) return 0;
  const size_t count = std::max<size_t>(1, bits.size() / 10);
  double total = 0;
  for (size_t i = bits.size() - count; i < bits.size(); ++i) total += bits[i];
  return total / static_cast<double>(count);
}

std::unique_ptr<LanguageModel> make_model(const TrainingSettings& settings, int64_t vocabulary) {
  manual_seed(settings.seed);
  return std::make_unique<LanguageModel>(cell_kind(settings.cell), vocabulary, settings.hidden);
}

optim::Adam make_optimizer(const LanguageModel& model, const TrainingSettings& settings) {
  return optim::Adam(model.parameters(), {.learning_rate = settings.learning_rate});
}

TrainingRun::TrainingRun(LanguageModel& model, optim::Adam& adam, BatchFunction step, const nn::TextBatches& batches,
                         const TrainingSettings& settings, const std::string& label)
    : model_(model),
      adam_(adam),
      train_on_(std::move(step)),
      batches_(batches),
      settings_(settings),
      progress_(label, settings.steps, settings.batch * settings.length) {
  curve_.characters_per_step = settings.batch * settings.length;
  checkpoint_.add("model", model_).add("optimizer", adam_).add("random", default_generator()).add("step", step_);
  checkpoint_.add("h", state_.h).add("c", state_.c);
}

void TrainingRun::go_on_from(const NamedTensors& tensors) {
  // The first calls of a compiled function run op by op, and may add gradients in another order than its plans: they are made now, on
  // what is replaced next, so that the steps that count are the plans', as they would have been without the interruption.
  for (int i = 0; i < kFirstCalls; ++i) train_on_(batches_[0], model_.zero_state(settings_.batch));
  state_ = model_.zero_state(settings_.batch);  // of the types that the saved ones must have
  checkpoint_.load_state(tensors);
  if (step_ < 1 || !state_.h || !state_.c) throw UserError("its training has not begun");
  progress_.start_at(step_);
}

bool TrainingRun::is_done() const {
  return noted_signal() != 0 || step_ >= settings_.steps;
}

void TrainingRun::advance(int64_t steps) {
  for (int64_t i = 0; i < steps && !is_done(); ++i) {
    const auto start = std::chrono::steady_clock::now();
    const nn::TextBatch batch = batches_[step_];
    if (batch.starts_anew) state_ = model_.zero_state(settings_.batch);
    const BatchResult result = train_on_(batch, state_);
    state_ = result.state;
    curve_.bits.push_back(result.loss.item() / std::numbers::ln2);
    ++step_;
    curve_.seconds.push_back(seconds_since(start));
    curve_.total_seconds += curve_.seconds.back();
    progress_.update(step_, curve_.bits.back(), curve_.total_seconds);
  }
}

const TrainingCurve& TrainingRun::finish() {
  progress_.finish();
  return curve_;
}

namespace {

int64_t pick(const Tensor& logits, double temperature, Generator& generator) {
  if (temperature == 0) return argmax(logits, 1).to_vector<int64_t>()[0];
  const std::vector<float> probabilities = softmax(logits / temperature).to_vector<float>();
  double left = rand({}, DType::f64, generator).item();
  int64_t last_possible = 0;  // rounding may leave a little of 1 over
  for (size_t i = 0; i < probabilities.size(); ++i) {
    if (probabilities[i] > 0) last_possible = static_cast<int64_t>(i);
    left -= probabilities[i];
    if (left < 0) break;
  }
  return last_possible;
}

/// Bytes of the printable character (or tab, or newline) that the text begins with; 0 when there is none.
size_t character_length(std::string_view text) {
  const auto first = static_cast<uint8_t>(text[0]);
  if (first < 0x80) return (first >= 32 && first != 127) || first == '\t' || first == '\n' ? 1 : 0;
  const size_t length = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : 2;
  if (first < 0xC2 || first > 0xF4 || text.size() < length) return 0;
  for (size_t i = 1; i < length; ++i)
    if ((static_cast<uint8_t>(text[i]) & 0xC0) != 0x80) return 0;
  const auto second =
      static_cast<uint8_t>(text[1]);  // overlong forms, surrogates, C1 controls, beyond U+10FFFF
  const bool is_bad = (first == 0xC2 && second < 0xA0) || (first == 0xE0 && second < 0xA0) ||
                      (first == 0xED && second >= 0xA0) || (first == 0xF0 && second < 0x90) ||
                      (first == 0xF4 && second >= 0x90);
  return is_bad ? 0 : length;
}

}  // namespace

std::string printable(const std::string& text) {
  std::string result;
  for (size_t i = 0; i < text.size();) {
    const size_t length = character_length(std::string_view(text).substr(i));
    if (length == 0)
      result += '?';
    else
      result += text.substr(i, length);
    i += std::max<size_t>(1, length);
  }
  return result;
}

std::string generate(const LanguageModel& model, const nn::Vocabulary& vocabulary, const std::string& prompt,
                     int64_t length, double temperature, uint64_t seed) {
  if (prompt.empty()) throw UserError("the prompt is empty; give at least one character");
  const NoGradGuard guard;
  Generator generator(seed);
  CellState state = model.zero_state(1);
  const auto advance = [&](int64_t token) {
    const Tensor x = model.embedding(from_vector<int64_t>({token}));
    state = model.kind.cell(x, state.h, state.c, model.weights);
    return model.output(state.h);
  };
  Tensor logits;
  for (const int64_t token : vocabulary.encode(prompt)) logits = advance(token);
  std::string text;
  for (int64_t i = 0; i < length; ++i) {
    const int64_t token = pick(logits, temperature, generator);
    text += vocabulary.decode(token);
    logits = advance(token);
  }
  return text;
}

}  // namespace calque::cli
