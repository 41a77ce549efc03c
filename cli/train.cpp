// `calque train`: trains a character language model on a text and leaves a checkpoint.
#include <fmt/format.h>

#include <memory>

#include "calque/compile.h"
#include "cli/checkpoint.h"
#include "cli/command.h"
#include "cli/training.h"

namespace calque::cli {

namespace {

struct TrainOptions {
  TrainingSettings settings;
  std::string text, out = "train-output";
  bool eager = false, compiled = true;
};

int run_train(const TrainOptions& options) {
  const TrainingSettings& settings = options.settings;
  const std::string text = options.text.empty() ? nn::read_fortunes() : nn::read_text(options.text);
  const nn::Vocabulary vocabulary(text);
  const nn::TextBatches batches(vocabulary.encode(text), settings.batch, settings.length);
  make_folder(options.out);
  const auto model = make_model(settings, vocabulary.size());
  fmt::print("{} characters, {} distinct; {} steps of {} x {}\n", text.size(), vocabulary.size(),
             settings.steps, settings.batch, settings.length);
  const AnyCell cell =
      options.eager ? AnyCell(model->kind.cell) : AnyCell(compile(model->kind.cell, {.name = settings.cell}));
  TrainingRun run(*model, cell, batches, settings, options.eager ? "eager" : "compiled");
  run.advance(settings.steps);
  const TrainingCurve& curve = run.finish();
  const std::string path = options.out + "/model.safetensors";
  save_checkpoint(path, *model, vocabulary, static_cast<int64_t>(curve.bits.size()));
  if (curve.interrupted)
    throw Error(
        fmt::format("interrupted after {} steps; the model so far is in {}", curve.bits.size(), path));
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
  command->add_option("--cell", settings.cell, "layernorm_lstm, lstm or gru")
      ->check(CLI::IsMember({"layernorm_lstm", "lstm", "gru"}))
      ->type_name("CELL");
  const auto positive = CLI::Range(int64_t{1}, int64_t{1} << 20);
  command->add_option("--hidden", settings.hidden, "Size of the state")
      ->check(CLI::Range(1, 8192))
      ->type_name("N");
  command->add_option("--batch", settings.batch, "Streams of text side by side")
      ->check(positive)
      ->type_name("N");
  command->add_option("--length", settings.length, "Steps that gradients go back")
      ->check(positive)
      ->type_name("N");
  command->add_option("--steps", settings.steps, "Updates")
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 40))
      ->type_name("N");
  command->add_option("--lr", settings.learning_rate, "Adam's learning rate")
      ->check(CLI::PositiveNumber)
      ->type_name("X");
  command->add_option("--seed", settings.seed, "Seed of the initial weights")->type_name("N");
  command->add_option("--out", options->out, "Folder for the checkpoint")->type_name("DIR");
  CLI::Option* eager = command->add_flag("--eager", options->eager, "Run the cell op by op");
  command->add_flag("--compile", options->compiled, "Compile the cell (the default)")->excludes(eager);
  add_threads_option(*command);
  command->footer(
      "The first Ctrl-C ends the training after the step under way and saves the model; the exit code is 1 "
      "then.");
  command->callback([options, &action] { action = [options] { return run_train(*options); }; });
}

}  // namespace calque::cli
