// `calque explain`: each op of a recurrent cell with its source line, and what became of it.
#include <fmt/format.h>

#include <memory>

#include "cli/command.h"
#include "cli/compiled_cell.h"

namespace calque::cli {

void add_explain(CLI::App& program, Action& action) {
  const auto options = std::make_shared<CellOptions>();
  CLI::App* command =
      program.add_subcommand("explain", "Each op of a recurrent cell, its line, and what became of it");
  add_cell_options(*command, *options);
  command->callback([options, &action] {
    action = [options] {
      fmt::print("{}", compile_cell(*options).explain());
      return 0;
    };
  });
}

}  // namespace calque::cli
