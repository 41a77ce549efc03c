// The demo in small: a language model learns, and its compiled cell follows the eager one in every bit.
#include "cli/language_model.h"

#include <catch2/catch.hpp>
#include <numbers>

#include "calque/compile.h"
#include "runtime/kernels/isa.h"

namespace calque::cli {
namespace {

constexpr int64_t kHidden = 32, kBatch = 8, kLength = 20, kSteps = 30;

/// Text with enough structure to learn within a few steps.
std::string rhyme() {
  std::string text;
  for (int i = 0; i < 60; ++i)
    text +=
        "how much wood would a woodchuck chuck if a woodchuck could chuck wood? as much wood as a woodchuck "
        "could.\n";
  return text;
}

/// Bits per character, step by step. `make(model, adam)` gives the training step.
template <class Make>
std::vector<double> train(const CellKind& kind, const Make& make) {
  const std::string text = rhyme();
  const nn::Vocabulary vocabulary(text);
  const nn::TextBatches batches(vocabulary.encode(text), kBatch, kLength);
  manual_seed(5);
  LanguageModel model(kind, vocabulary.size(), kHidden);
  optim::Adam adam(model.parameters(), {.learning_rate = 1e-2});
  BatchFunction train_on = make(model, adam);
  CellState state;
  std::vector<double> bits;
  for (int64_t step = 0; step < kSteps; ++step) {
    if (batches[step].starts_anew) state = model.zero_state(kBatch);
    const BatchResult result = train_on(batches[step], state);
    state = result.state;
    bits.push_back(result.loss.item() / std::numbers::ln2);
  }
  return bits;
}

}  // namespace

TEST_CASE("a language model learns, and compiling its cell changes no bit of the losses") {
  for (const CellKind& kind : kCellKinds) {
    INFO(kind.name);
    const auto around = [](auto cell) {
      return [cell](LanguageModel& model, optim::Adam& adam) { return step_over(model, loop_over(model, cell), adam); };
    };
    const std::vector<double> eager = train(kind, around(kind.cell));
    CHECK(eager.front() > 3.9);  // log2 of 19 characters is 4.2
    CHECK(eager.back() < 1.5);
    auto cell = compile(kind.cell, {.name = kind.name});
    const std::vector<double> compiled = train(kind, around(cell));
    if (kind.cell == gru) {
      // h is read three times within this cell and once outside it: the region adds its own gradients of h
      // first, eager adds all in the order of the tape, and the sums round differently.
      for (size_t i = 0; i < eager.size(); ++i) CHECK(compiled[i] == Approx(eager[i]).margin(1e-4));
    } else {
      CHECK(compiled == eager);
    }
    const CompileStats stats = cell.stats();
    CHECK(stats.calls == kSteps * kLength);
    if (kernels::isa_level() == kernels::IsaLevel::baseline) continue;  // no code is generated below AVX2
    CHECK(stats.plan_runs > stats.calls / 2);
    CHECK(stats.backward_plan_runs > stats.calls / 2);
  }
}

TEST_CASE("a language model learns the same with its loop over time or its whole step compiled, but for rounding") {
  for (const CellKind& kind : kCellKinds) {
    INFO(kind.name);
    const auto make = [](Compiling compiling) {
      return [compiling](LanguageModel& model, optim::Adam& adam) {
        return with_compiled(compiling, model, [&](auto forward) { return step_over(model, forward, adam); });
      };
    };
    const std::vector<double> eager = train(kind, make(Compiling::nothing));
    for (const Compiling compiling : {Compiling::loop, Compiling::step}) {
      const std::vector<double> compiled = train(kind, make(compiling));
      REQUIRE(compiled.size() == eager.size());
      for (size_t i = 0; i < eager.size(); ++i) CHECK(compiled[i] == Approx(eager[i]).margin(1e-3));
    }
  }
}

TEST_CASE("what a step of a language model begins with, up to its gradients, is one plan") {
  manual_seed(5);
  LanguageModel model(kCellKinds[0], 9, kHidden);
  auto run = compile(gradients_over(model, loop_over(model, kCellKinds[0].cell)));
  const Tensor text = from_span(std::span<const int64_t>(std::vector<int64_t>(kLength * kBatch, 3)), {kLength * kBatch});
  for (int call = 0; call < 4; ++call) {
    model.zero_grad();
    const BatchResult result = run(nn::TextBatch{text, text, kLength, false}, model.zero_state(kBatch));
    for (const Tensor& parameter : model.parameters()) CHECK(parameter.grad());
    CHECK_FALSE(result.loss.requires_grad());
  }
  const CompileStats stats = run.stats();
  CHECK(stats.recorded_calls == 1);
  CHECK(stats.backward_plan_runs == 0);
  if (kernels::isa_level() == kernels::IsaLevel::baseline) return;
  CHECK(stats.plan_runs == 3);
  CHECK(stats.loop_runs == 6);
}

TEST_CASE("a step of a language model is two plans: up to the norm of its gradients, and the update") {
  manual_seed(5);
  LanguageModel model(kCellKinds[0], 9, kHidden);
  optim::Adam adam(model.parameters());
  auto step = compile(step_over(model, loop_over(model, kCellKinds[0].cell), adam, 1e-3));
  const Tensor text = from_span(std::span<const int64_t>(std::vector<int64_t>(kLength * kBatch, 3)), {kLength * kBatch});
  const auto call = [&] { return step(nn::TextBatch{text, text, kLength, false}, model.zero_state(kBatch)); };
  for (int i = 0; i < 6; ++i) CHECK_FALSE(call().loss.requires_grad());
  const CompileStats before = step.stats();
  CHECK(before.recorded_calls <= 4);  // the first, and one for each number that changes: the factor of clipping, two of Adam
  call();
  const CompileStats after = step.stats();
  CHECK(after.recorded_calls == before.recorded_calls);
  CHECK(after.backward_plan_runs == 0);
  if (kernels::isa_level() == kernels::IsaLevel::baseline) return;
  CHECK(after.plan_runs == before.plan_runs + 2);
  CHECK(after.loop_runs == before.loop_runs + 2);
}

}  // namespace calque::cli
