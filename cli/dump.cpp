// `calque dump`: what a recurrent cell becomes, stage by stage.
#include <fmt/format.h>

#include <memory>

#include "cli/command.h"
#include "cli/compiled_cell.h"

namespace calque::cli {

namespace {

struct DumpOptions {
  CellOptions cell;
  std::string stage = "lower";
};

int run_dump(const DumpOptions& options) {
  const std::string text = compile_cell(options.cell).dump(options.stage);
  if (text.empty())
    throw EnvironmentError(fmt::format(
        "nothing was compiled, so there is no {} to show; `calque explain` says why", options.stage));
  fmt::print("{}", text);
  return 0;
}

}  // namespace

void add_dump(CLI::App& program, Action& action) {
  const auto options = std::make_shared<DumpOptions>();
  CLI::App* command = program.add_subcommand("dump", "What a recurrent cell becomes: IR, LLVM IR, assembly");
  command
      ->add_option(
          "--stage", options->stage,
          "trace, prepare, lower, llvm or assembly; backward-lower, backward-llvm, backward-assembly")
      ->check(CLI::IsMember({"trace", "prepare", "lower", "llvm", "assembly", "backward-lower",
                             "backward-llvm", "backward-assembly"}))
      ->type_name("STAGE");
  add_cell_options(*command, options->cell);
  command->footer("CALQUE_DUMP=FOLDER writes all of this for whatever a program compiles.");
  command->callback([options, &action] { action = [options] { return run_dump(*options); }; });
}

}  // namespace calque::cli
