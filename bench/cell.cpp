// One step of a recurrent cell, eager and compiled, forward and with gradients; and with `./dev bench cell`,
// beside the peers.
//
// The limit of a row is the time that the cell's matrix products take at the machine's peak of FMAs
// (backward: gradients of x, h and the weights, twice the work of forward). --serve speaks the protocol of
// bench/serve.h.
#include "bench/machine.h"
#include "bench/rows.h"
#include "bench/serve.h"

using namespace calque;
using namespace calque::bench;

int main(int argc, char** argv) {
  if (argc == 2 && std::string_view(argv[1]) == "--serve") return Server(What::step).run();
  const Options options = read_options(argc, argv);
  Report report("cell", options);
  const double peak = peak_flops_per_us(options.quick);
  if (peak > 0) fmt::print("peak of FMAs: {:.0f} GFLOP/s\n", peak / 1e3);
  for (const Size size : sizes(options.quick))
    for (const char* cell : {"layernorm_lstm", "lstm", "gru"})
      add_rows(report, {cell, size, 1, What::step}, peak, options.quick);
  return report.finish();
}
