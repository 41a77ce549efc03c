// `calque demo`: the same training three times, eager, with the cell compiled, and with the whole step compiled (loop over time, loss,
// gradients, clipping and Adam), block by block in turn; compares, samples, and leaves what was made.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <memory>

#include "calque/compile.h"
#include "cli/checkpoint.h"
#include "cli/command.h"
#include "cli/interrupt.h"
#include "cli/progress.h"
#include "cli/training.h"
#include "runtime/kernels/isa.h"
#include "runtime/thread_pool.h"

namespace calque::cli {

namespace {

// The compiled cell gives equal bits. The compiled step sums the gradients of weights over all steps at once, which rounds
// otherwise, and training lets that grow; this is far below what separates one seed from another.
constexpr double kTolerance = 0.02;  // bits per character

struct DemoOptions {
  TrainingSettings settings;
  std::string text, out = "demo-output";
};

struct Artifact {
  const char *stage, *file;
};
constexpr Artifact kArtifacts[] = {{"trace", "step.trace.cq"},
                                   {"prepare", "step.prepare.cq"},
                                   {"lower", "step.lower.cq"},
                                   {"llvm", "step.ll"},
                                   {"assembly", "step.s"}};

/// Prints how the curves compare; false when they are further apart than the tolerance.
bool curves_agree(const char* label, const TrainingCurve& eager, const TrainingCurve& compiled) {
  double largest = 0;
  bool comparable = eager.bits.size() == compiled.bits.size();
  for (size_t i = 0; comparable && i < eager.bits.size(); ++i) {
    const double difference = std::abs(eager.bits[i] - compiled.bits[i]);
    comparable = std::isfinite(difference);
    largest = std::max(largest, difference);
  }
  if (!comparable) {
    fmt::print("loss curve of the {}: not comparable\n", label);
    return false;
  }
  if (eager.bits == compiled.bits)
    fmt::print("loss curve of the {}: equal to the eager one in every bit over all {} steps\n", label, eager.bits.size());
  else
    fmt::print("loss curve of the {}: largest difference from the eager one {:.3g} bits/char (tolerance {})\n", label, largest,
               kTolerance);
  return largest <= kTolerance;
}

void print_times(const char* label, const TrainingCurve& curve, const TrainingCurve& eager) {
  const std::string speed_up = fmt::format("{:.2f}x", eager.total_seconds / curve.total_seconds);
  fmt::print("{:<14} {:7.2f} s in all, {:6.1f} ms for the first step, {:6.2f} ms a step later;  speed-up: {} (later {:.2f}x)\n",
             label, curve.total_seconds, 1e3 * curve.seconds.front(), 1e3 * curve.steady_seconds(), bold(speed_up),
             eager.steady_seconds() / curve.steady_seconds());
}

/// The runs alternate in blocks of steps, so that a slow phase of a shared machine hits all.
void take_turns(std::initializer_list<TrainingRun*> runs) {
  const InterruptGuard guard;
  constexpr int64_t kBlock = 10;
  while (!std::data(runs)[runs.size() - 1]->is_done()) {
    for (TrainingRun* run : runs) run->advance(kBlock);
    if (noted_signal() != 0) throw Interrupted("interrupted");
  }
}

template <class Function>
void write_artifacts(const Compiled<Function>& step, const std::string& folder) {
  fmt::print("what was traced, planned and generated:\n");
  for (const auto& [stage, file] : kArtifacts) {
    const std::string path = folder + "/" + file;
    write_text(path, step.dump(stage));
    fmt::print("  {:<18} {}\n", stage, path);
  }
  write_text(folder + "/step.explain.txt", step.explain());
  fmt::print("  {:<18} {}\n", "explain", folder + "/step.explain.txt");
}

void print_stats(const CompileStats& stats) {
  fmt::print(
      "compiled step: {} calls, {} ops matched, {} plan runs, {} loops run as one, {} compilations, {} from cache\n", stats.calls,
      stats.matched_ops, stats.plan_runs, stats.loop_runs, stats.compilations, stats.cache_hits);
}

/// The prompt where the text has its letters, else the text's first character.
std::string prompt_for(const nn::Vocabulary& vocabulary, const std::string& text) {
  const std::string wanted = "%\nThe ";
  const bool fits = std::all_of(wanted.begin(), wanted.end(),
                                [&](char c) { return vocabulary.bytes().find(c) != std::string::npos; });
  return fits ? wanted : text.substr(0, 1);
}

int run_demo(const DemoOptions& options) {
  const TrainingSettings& settings = options.settings;
  const std::string text = options.text.empty() ? nn::read_fortunes() : nn::read_text(options.text);
  const nn::Vocabulary vocabulary(text);
  const nn::TextBatches batches(vocabulary.encode(text), settings.batch, settings.length);
  make_folder(options.out);
  const auto eager_model = make_model(settings, vocabulary.size());
  const auto cell_model = make_model(settings, vocabulary.size()), model = make_model(settings, vocabulary.size());
  optim::Adam eager_adam = make_optimizer(*eager_model, settings);
  optim::Adam cell_adam = make_optimizer(*cell_model, settings), adam = make_optimizer(*model, settings);
  fmt::print(
      "A character language model with a layer-norm LSTM of {} units, written as a plain function "
      "(cli/cells.h).\n"
      "{} characters of text, {} distinct; {} steps of {} streams x {} characters; {} threads, {}.\n\n",
      settings.hidden, text.size(), vocabulary.size(), settings.steps, settings.batch, settings.length,
      ThreadPool::instance().num_threads(), kernels::name(kernels::isa_level()));

  // All that differs between the three runs is what compile() is put around.
  const Cell cell = model->kind.cell;
  const CompileOptions named{.name = settings.cell};
  const auto eager_step = step_over(*eager_model, loop_over(*eager_model, cell), eager_adam, settings.clip);
  const auto cell_step = step_over(*cell_model, loop_over(*cell_model, compile(cell, named)), cell_adam, settings.clip);
  const auto compiled_step = compile(step_over(*model, loop_over(*model, cell), adam, settings.clip), named);
  TrainingRun eager_run(*eager_model, eager_adam, eager_step, batches, settings, "eager");
  TrainingRun cell_run(*cell_model, cell_adam, cell_step, batches, settings, "compiled cell");
  TrainingRun step_run(*model, adam, compiled_step, batches, settings, "compiled step");
  take_turns({&eager_run, &cell_run, &step_run});
  const TrainingCurve &eager = eager_run.finish(), &by_cell = cell_run.finish(), &by_step = step_run.finish();

  fmt::print("\n");
  const bool cell_agrees = curves_agree("compiled cell", eager, by_cell);
  const bool step_agrees = curves_agree("compiled step", eager, by_step);
  fmt::print("loss: {:.3f} -> {:.3f} bits per character\n", by_step.bits.front(), by_step.final_bits());
  print_times("eager", eager, eager);
  print_times("compiled cell", by_cell, eager);
  print_times("compiled step", by_step, eager);
  print_stats(compiled_step.stats());

  const std::string prompt = prompt_for(vocabulary, text);
  fmt::print("\n--- 300 characters from the model, temperature 0.7 ---\n{}\n---\n\n",
             printable(generate(*model, vocabulary, prompt, 300, 0.7, settings.seed)));
  const std::string checkpoint = options.out + "/model.safetensors";
  save_checkpoint(checkpoint, step_run, *model, vocabulary, settings, text);
  fmt::print("checkpoint: {}  (more text: calque sample --checkpoint {})\n", checkpoint, checkpoint);
  write_artifacts(compiled_step, options.out);
  if (!cell_agrees || !step_agrees) throw Error("a compiled run left the eager one by more than the tolerance; please report it");
  return 0;
}

}  // namespace

void add_demo(CLI::App& program, Action& action) {
  const auto options = std::make_shared<DemoOptions>();
  TrainingSettings& settings = options->settings;
  CLI::App* command =
      program.add_subcommand("demo", "Train a language model eager, with a compiled cell and a compiled step, compare, and show it all");
  command->add_option("--steps", settings.steps, "Updates in each run")
      ->check(CLI::Range(1, 1 << 30))
      ->type_name("N");
  command->add_option("--hidden", settings.hidden, "Size of the state")
      ->check(CLI::Range(1, 8192))
      ->type_name("N");
  command->add_option("--length", settings.length, "Steps that gradients go back")
      ->check(CLI::Range(1, 1 << 20))
      ->type_name("N");
  command->add_option("--seed", settings.seed, "Seed of weights and sample")->type_name("N");
  command->add_option("--text", options->text, "Text to learn (default: the fortunes of Debian's package)")
      ->type_name("FILE");
  command->add_option("--out", options->out, "Folder for checkpoint, IR and generated code")
      ->type_name("DIR");
  add_threads_option(*command);
  command->footer(
      "Exit code 1 when a compiled loss curve differs from the eager one by more than 0.02 bits per character anywhere.");
  command->callback([options, &action] { action = [options] { return run_demo(*options); }; });
}

}  // namespace calque::cli
