// `calque opt`: runs passes on IR text.
#include <fmt/format.h>

#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>
#include <memory>
#include <sstream>
#include <vector>

#include "cli/command.h"
#include "ir/graph/parser.h"
#include "ir/graph/printer.h"
#include "ir/graph/verifier.h"
#include "ir/op/error.h"
#include "passes/pipeline.h"

namespace calque::cli {

namespace {

struct OptOptions {
  std::string file = "-", passes = "prepare,lower";
  bool list = false, verify = false, time = false;
};

std::string read_text(const std::string& file) {
  if (file == "-") return {std::istreambuf_iterator<char>(std::cin), {}};
  std::ifstream stream(file, std::ios::binary);
  std::ostringstream text;
  if (stream.peek() != std::ifstream::traits_type::eof()) text << stream.rdbuf();
  if (!stream.is_open() || stream.bad() || std::filesystem::is_directory(file))
    throw UserError(fmt::format("cannot read {}", file));
  return text.str();
}

/// Passes trust their input, so it is always verified; what is wrong with it is the user's fault, not ours.
Graph read_graph(const std::string& file) {
  const std::string text = read_text(file);
  try {
    Graph graph = parse(text);
    verify(graph);
    return graph;
  } catch (const Error& error) {
    throw UserError(fmt::format("{}: {}", file == "-" ? "standard input" : file, error.what()));
  }
}

/// As comments: the output stays IR text.
void print_timings(const std::vector<PassTiming>& timings) {
  for (const PassTiming& timing : timings)
    fmt::print("// {:<22} {:>9.1f} us  {:>5} -> {} nodes\n", timing.name, timing.microseconds,
               timing.nodes_before, timing.nodes_after);
}

int run_opt(const OptOptions& options) {
  if (options.list) {
    for (const std::string& name : pass_names()) fmt::print("{}\n", name);
    return 0;
  }
  std::vector<PassTiming> timings;
  PassOptions pass_options;
  pass_options.verify = options.verify;
  pass_options.timings = &timings;
  const Graph graph = run_passes(read_graph(options.file), options.passes, pass_options);
  if (options.time) print_timings(timings);
  fmt::print("{}", print(graph));
  return 0;
}

}  // namespace

void add_opt(CLI::App& program, Action& action) {
  const auto options = std::make_shared<OptOptions>();
  CLI::App* command = program.add_subcommand("opt", "Run passes on IR text and print what they make of it");
  command->add_option("file", options->file, "IR text; - is the standard input")->type_name("FILE");
  command
      ->add_option("--passes", options->passes,
                   "Names with commas, in the order to run; prepare and lower are groups")
      ->type_name("A,B");
  command->add_flag("--list", options->list, "Only list all passes, in the order of the pipeline");
  command->add_flag("--verify", options->verify, "Check the rules of the IR after each pass");
  command->add_flag("--time", options->time, "Say what each pass took, as comments before the graph");
  command->callback([options, &action] { action = [options] { return run_opt(*options); }; });
}

}  // namespace calque::cli
