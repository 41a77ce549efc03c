// `calque train`: trains a character language model on a text and leaves a checkpoint.
#include <fmt/format.h>

#include <filesystem>
#include <memory>

#include "calque/compile.h"
#include "cli/checkpoint.h"
#include "cli/command.h"
#include "cli/interrupt.h"
#include "cli/training.h"

namespace calque::cli {

namespace {

struct TrainOptions {
  TrainingSettings settings;
  std::string text, out, resume;
  int64_t save_every = 0;
  bool eager = false, compiled = true, has_steps = false;
};

constexpr const char* kDefaultOut = "train-output";

/// Where the checkpoint is written: beside the one gone on from, unless --out says otherwise.
std::string folder_for(const TrainOptions& options) {
  if (!options.out.empty()) return options.out;
  if (options.resume.empty()) return kDefaultOut;
  const std::string folder = std::filesystem::path(options.resume).parent_path();
  return folder.empty() ? "." : folder;
}

/// What a training starts from: a seed, or a checkpoint.
struct Start {
  TrainingSettings settings;
  nn::Vocabulary vocabulary;
  std::unique_ptr<LanguageModel> model;
  NamedTensors checkpoint;  // empty: from the first step
};

Start start_of(const TrainOptions& options, const std::string& text) {
  if (options.resume.empty()) {
    const nn::Vocabulary vocabulary(text);
    return {options.settings, vocabulary, make_model(options.settings, vocabulary.size()), {}};
  }
  Checkpoint checkpoint = load_checkpoint(options.resume);
  if (checkpoint.text != fingerprint(text))
    throw UserError(fmt::format("{} learned another text ({}) than this one ({}); name it with --text", options.resume,
                                checkpoint.text, fingerprint(text)));
  if (options.has_steps) checkpoint.settings.steps = options.settings.steps;
  return {checkpoint.settings, checkpoint.vocabulary, std::move(checkpoint.model), checkpoint.tensors};
}

void go_on(TrainingRun& run, const TrainOptions& options, const Start& start) {
  try {
    run.go_on_from(start.checkpoint);
  } catch (const UserError& error) {
    throw UserError(fmt::format("cannot go on from {}: {}", options.resume, error.what()));
  }
  if (run.is_done())
    throw UserError(fmt::format("{} has done its {} steps; ask for more with --steps", options.resume, run.steps()));
}

int run_train(const TrainOptions& options) {
  const std::string text = options.text.empty() ? nn::read_fortunes() : nn::read_text(options.text);
  const Start start = start_of(options, text);
  const TrainingSettings& settings = start.settings;
  LanguageModel& model = *start.model;
  const nn::TextBatches batches(start.vocabulary.encode(text), settings.batch, settings.length);
  const std::string folder = folder_for(options), path = folder + "/model.safetensors";
  make_folder(folder);
  optim::Adam adam = make_optimizer(model, settings);
  const BatchFunction step = with_compiled(options.eager ? Compiling::nothing : Compiling::step, model,
                                           [&](auto forward) { return step_over(model, forward, adam, settings.clip); });
  TrainingRun run(model, adam, step, batches, settings, options.eager ? "eager" : "compiled");
  if (!options.resume.empty()) go_on(run, options, start);
  fmt::print("{} characters, {} distinct; {} steps of {} x {}, {} of them done\n", text.size(), start.vocabulary.size(),
             settings.steps, settings.batch, settings.length, run.steps());
  const InterruptGuard guard;
  while (!run.is_done()) {
    run.advance(options.save_every > 0 ? options.save_every : settings.steps);
    save_checkpoint(path, run, model, start.vocabulary, settings, text);
  }
  const TrainingCurve& curve = run.finish();
  if (run.steps() < settings.steps)
    throw Interrupted(
        fmt::format("interrupted after {} steps; go on with `calque train --resume {}`", run.steps(), path));
  fmt::print("{:.3f} bits per character at the end; {:.1f} ms a step; the model is in {}\n",
             curve.final_bits(), 1e3 * curve.steady_seconds(), path);
  return 0;
}

}  // namespace

void add_train(CLI::App& program, Action& action) {
  const auto options = std::make_shared<TrainOptions>();
  TrainingSettings& settings = options->settings;
  CLI::App* command =
      program.add_subcommand("train", "Train a character language model; leaves a checkpoint");
  command->add_option("--text", options->text, "Text to learn (default: the fortunes of Debian's package)")
      ->type_name("FILE");
  CLI::Option* resume =
      command->add_option("--resume", options->resume, "Go on from this checkpoint, with its settings and the same text")
          ->type_name("FILE");
  command->add_option("--cell", settings.cell, "layernorm_lstm, lstm or gru")
      ->check(CLI::IsMember({"layernorm_lstm", "lstm", "gru"}))
      ->type_name("CELL")
      ->excludes(resume);
  const auto positive = CLI::Range(int64_t{1}, int64_t{1} << 20);
  command->add_option("--hidden", settings.hidden, "Size of the state")
      ->check(CLI::Range(1, 8192))
      ->type_name("N")
      ->excludes(resume);
  command->add_option("--batch", settings.batch, "Streams of text side by side")
      ->check(positive)
      ->type_name("N")
      ->excludes(resume);
  command->add_option("--length", settings.length, "Steps that gradients go back")
      ->check(positive)
      ->type_name("N")
      ->excludes(resume);
  command
      ->add_option_function<int64_t>(
          "--steps", [options](int64_t steps) { options->settings.steps = steps, options->has_steps = true; },
          "Updates, in all (default: 600, or as the checkpoint says)")
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 40))
      ->type_name("N");
  command->add_option("--lr", settings.learning_rate, "Adam's learning rate")
      ->check(CLI::PositiveNumber)
      ->type_name("X")
      ->excludes(resume);
  command->add_option("--seed", settings.seed, "Seed of the initial weights")->type_name("N")
      ->excludes(resume);
  command->add_option("--out", options->out, "Folder for the checkpoint (default: train-output, or that of --resume)")
      ->type_name("DIR");
  command->add_option("--save-every", options->save_every, "Save after so many steps, too (0: at the end only)")
      ->check(CLI::Range(int64_t{0}, int64_t{1} << 40))
      ->type_name("N");
  CLI::Option* eager = command->add_flag("--eager", options->eager, "Run op by op");
  command->add_flag("--compile", options->compiled, "Compile each step: loop over time, loss, gradients and update (the default)")->excludes(eager);
  add_threads_option(*command);
  command->footer(
      "The first Ctrl-C (or SIGTERM) ends the training after the step under way and saves the model; the exit code is 130 "
      "(143) then, and --resume goes on with the same bits. A second one ends the program at once; a file is always whole.");
  command->callback([options, &action] { action = [options] { return run_train(*options); }; });
}

}  // namespace calque::cli
