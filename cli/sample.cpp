// `calque sample`: text from a checkpoint.
#include <fmt/format.h>

#include <cstdio>
#include <memory>

#include "cli/checkpoint.h"
#include "cli/command.h"

namespace calque::cli {

namespace {

struct SampleOptions {
  std::string checkpoint, prompt = "The ";
  int64_t length = 300;
  double temperature = 0.7;
  uint64_t seed = 1;
};

int run_sample(const SampleOptions& options) {
  const Checkpoint checkpoint = load_checkpoint(options.checkpoint);
  const std::string text = generate(*checkpoint.model, checkpoint.vocabulary, options.prompt, options.length,
                                    options.temperature, options.seed);
  fmt::print("{}\n", printable(options.prompt + text));
  return 0;
}

}  // namespace

void add_sample(CLI::App& program, Action& action) {
  const auto options = std::make_shared<SampleOptions>();
  CLI::App* command = program.add_subcommand("sample", "Write text with a trained model");
  command->add_option("--checkpoint", options->checkpoint, "File that `calque train` or `calque demo` left")
      ->required()
      ->type_name("FILE");
  command->add_option("--prompt", options->prompt, "Text to go on from")->type_name("TEXT");
  command->add_option("--length", options->length, "Characters to write")
      ->check(CLI::Range(int64_t{0}, int64_t{1} << 30))
      ->type_name("N");
  command->add_option("--temperature", options->temperature, "0: always the likeliest; 1: as the model says")
      ->check(CLI::Range(0.0, 100.0))
      ->type_name("X");
  command->add_option("--seed", options->seed, "Another seed, another text")->type_name("N");
  add_threads_option(*command);
  command->callback([options, &action] { action = [options] { return run_sample(*options); }; });
}

}  // namespace calque::cli
