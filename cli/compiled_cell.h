// A recurrent cell, compiled on made-up data: what `calque dump` and `calque explain` look at.
#pragma once

#include <memory>
#include <string>

#include "calque/compile.h"
#include "cli/command.h"
#include "cli/language_model.h"

namespace calque::cli {

struct CellOptions {
  std::string cell = "layernorm_lstm";
  int64_t batch = 16, hidden = 256;
};

/// `--cell`, `--batch`, `--hidden` and `--threads`.
void add_cell_options(CLI::App& command, CellOptions& options);

/// Compiles the cell by calling it on random tensors, with gradients, as often as it takes: the first call
/// records, the second is compiled, the third runs what was compiled.
Compiled<Cell> compile_cell(const CellOptions& options);

}  // namespace calque::cli
