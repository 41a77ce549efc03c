// `calque demo`: the same training twice, eager and with the cell compiled, block by block in turn; compares,
// samples, and leaves what was made.
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

// Equal bits are expected. Where products of a region are summed in another order, roundings differ, and
// training lets them grow; this is far below what separates one seed from another.
constexpr double kTolerance = 0.02;  // bits per character

struct DemoOptions {
  TrainingSettings settings;
  std::string text, out = "demo-output";
};

struct Artifact {
  const char *stage, *file;
};
constexpr Artifact kArtifacts[] = {{"trace", "cell.trace.cq"},
                                   {"prepare", "cell.prepare.cq"},
                                   {"lower", "cell.lower.cq"},
                                   {"llvm", "cell.ll"},
                                   {"assembly", "cell.s"},
                                   {"backward-lower", "cell.backward.lower.cq"},
                                   {"backward-llvm", "cell.backward.ll"},
                                   {"backward-assembly", "cell.backward.s"}};

/// Prints how the curves compare; false when they are further apart than the tolerance.
bool curves_agree(const TrainingCurve& eager, const TrainingCurve& compiled) {
  double largest = 0;
  bool comparable = eager.bits.size() == compiled.bits.size();
  for (size_t i = 0; comparable && i < eager.bits.size(); ++i) {
    const double difference = std::abs(eager.bits[i] - compiled.bits[i]);
    comparable = std::isfinite(difference);
    largest = std::max(largest, difference);
  }
  if (!comparable) {
    fmt::print("loss curves: not comparable\n");
    return false;
  }
  if (eager.bits == compiled.bits)
    fmt::print("loss curves: equal in every bit over all {} steps\n", eager.bits.size());
  else
    fmt::print("loss curves: largest difference {:.3g} bits/char (tolerance {})\n", largest, kTolerance);
  return largest <= kTolerance;
}

void print_times(const TrainingCurve& eager, const TrainingCurve& compiled) {
  const auto row = [](const char* label, const TrainingCurve& curve) {
    fmt::print("{:<9} {:7.2f} s in all, {:6.1f} ms for the first step, {:6.2f} ms a step later\n", label,
               curve.total_seconds, 1e3 * curve.seconds.front(), 1e3 * curve.steady_seconds());
  };
  row("eager", eager);
  row("compiled", compiled);
  fmt::print("{}  (whole runs, first call and compiling included; steady state {:.2f}x)\n",
             bold(fmt::format("speed-up: {:.2f}x", eager.total_seconds / compiled.total_seconds)),
             eager.steady_seconds() / compiled.steady_seconds());
}

/// The runs alternate in blocks of steps, so that a slow phase of a shared machine hits both.
void take_turns(TrainingRun& eager, TrainingRun& compiled) {
  const InterruptGuard guard;
  constexpr int64_t kBlock = 10;
  while (!compiled.is_done()) {
    eager.advance(kBlock);
    compiled.advance(kBlock);
    if (noted_signal() != 0) throw Interrupted("interrupted");
  }
}

void write_artifacts(const Compiled<Cell>& cell, const std::string& folder) {
  fmt::print("what was traced, planned and generated:\n");
  for (const auto& [stage, file] : kArtifacts) {
    const std::string path = folder + "/" + file;
    write_text(path, cell.dump(stage));
    fmt::print("  {:<18} {}\n", stage, path);
  }
  write_text(folder + "/cell.explain.txt", cell.explain());
  fmt::print("  {:<18} {}\n", "explain", folder + "/cell.explain.txt");
}

void print_stats(const CompileStats& stats) {
  fmt::print(
      "compiled cell: {} calls, {} ops matched, {} forward and {} backward plan runs, {} compilations, {} "
      "from cache\n",
      stats.calls, stats.matched_ops, stats.plan_runs, stats.backward_plan_runs, stats.compilations,
      stats.cache_hits);
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
  const auto model = make_model(settings, vocabulary.size());
  fmt::print(
      "A character language model with a layer-norm LSTM of {} units, written as a plain function "
      "(cli/cells.h).\n"
      "{} characters of text, {} distinct; {} steps of {} streams x {} characters; {} threads, {}.\n\n",
      settings.hidden, text.size(), vocabulary.size(), settings.steps, settings.batch, settings.length,
      ThreadPool::instance().num_threads(), kernels::name(kernels::isa_level()));

  const Cell cell = model->kind.cell;
  const auto compiled_cell = compile(cell, {.name = settings.cell});  // the only change between the two runs
  TrainingRun eager_run(*eager_model, cell, batches, settings, "eager");
  TrainingRun compiled_run(*model, compiled_cell, batches, settings, "compiled");
  take_turns(eager_run, compiled_run);
  const TrainingCurve &eager = eager_run.finish(), &compiled = compiled_run.finish();

  fmt::print("\n");
  const bool agree = curves_agree(eager, compiled);
  fmt::print("loss: {:.3f} -> {:.3f} bits per character\n", compiled.bits.front(), compiled.final_bits());
  print_times(eager, compiled);
  print_stats(compiled_cell.stats());

  const std::string prompt = prompt_for(vocabulary, text);
  fmt::print("\n--- 300 characters from the model, temperature 0.7 ---\n{}\n---\n\n",
             printable(generate(*model, vocabulary, prompt, 300, 0.7, settings.seed)));
  const std::string checkpoint = options.out + "/model.safetensors";
  save_checkpoint(checkpoint, compiled_run, *model, vocabulary, settings, text);
  fmt::print("checkpoint: {}  (more text: calque sample --checkpoint {})\n", checkpoint, checkpoint);
  write_artifacts(compiled_cell, options.out);
  if (!agree) throw Error("the compiled run left the eager one by more than the tolerance; please report it");
  return 0;
}

}  // namespace

void add_demo(CLI::App& program, Action& action) {
  const auto options = std::make_shared<DemoOptions>();
  TrainingSettings& settings = options->settings;
  CLI::App* command =
      program.add_subcommand("demo", "Train a language model eager and compiled, compare, and show it all");
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
      "Exit code 1 when the two loss curves differ by more than 0.02 bits per character anywhere.");
  command->callback([options, &action] { action = [options] { return run_demo(*options); }; });
}

}  // namespace calque::cli
