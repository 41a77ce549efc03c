// Compiles a cell on made-up data.
#include "cli/compiled_cell.h"

#include "calque/autograd.h"
#include "calque/ops.h"

namespace calque::cli {

namespace {

constexpr int kCalls = 3;

void call_once(Compiled<Cell>& cell, const CellOptions& options, const CellWeights& weights) {
  const auto made_up = [&] { return nn::normal({options.batch, options.hidden}).set_requires_grad(); };
  const Tensor x = made_up(), h = made_up(), c = made_up();
  const CellState state = cell(x, h, c, weights);
  sum(state.h + state.c).backward();
}

}  // namespace

void add_cell_options(CLI::App& command, CellOptions& options) {
  command.add_option("--cell", options.cell, "layernorm_lstm, lstm or gru")
      ->check(CLI::IsMember({"layernorm_lstm", "lstm", "gru"}))
      ->type_name("CELL");
  command.add_option("--batch", options.batch, "Rows of x, h and c")
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 20))
      ->type_name("B");
  command.add_option("--hidden", options.hidden, "Columns of x, h and c")
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 14))
      ->type_name("H");
  add_threads_option(command);
}

Compiled<Cell> compile_cell(const CellOptions& options) {
  const CellKind& kind = cell_kind(options.cell);
  manual_seed(1);
  const CellWeights weights(options.hidden, options.hidden, kind.gates, kind.has_layer_norm);
  Compiled<Cell> cell = compile(kind.cell, {.name = options.cell});
  for (int call = 0; call < kCalls; ++call) call_once(cell, options, weights);
  return cell;
}

}  // namespace calque::cli
