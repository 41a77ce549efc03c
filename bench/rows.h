// The rows of a recurrent cell's benchmark without peers: each way, forward and with gradients, in turns.
#pragma once

#include "bench/measure.h"
#include "bench/recurrent.h"

namespace calque::bench {

struct Size {
  int64_t batch, inputs, hidden;
};

inline std::vector<Size> sizes(bool quick) {
  if (quick) return {{1, 64, 64}, {16, 32, 32}};
  return {{1, 64, 64}, {1, 512, 512}, {16, 256, 256}, {64, 512, 512}};
}

struct RecurrentRow {
  std::string cell;
  Size size;
  int64_t steps;
  What what;
};

/// Rows of one cell at one size; `peak` in floating-point operations per microsecond, 0 where it is not
/// known.
inline void add_rows(Report& report, const RecurrentRow& row, double peak, bool quick) {
  const auto [batch, inputs, hidden] = row.size;
  const std::string shape = row.what == What::step
                                ? fmt::format("{},{},{}", batch, inputs, hidden)
                                : fmt::format("{},{},{} T={}", batch, inputs, hidden, row.steps);
  for (const Mode mode : {Mode::inference, Mode::training}) {
    const auto data =
        std::make_shared<const Data>(Data::make(find_network(row.cell), batch, inputs, hidden, row.steps));
    const double flops = work_of(*data, row.what, mode).flops;
    std::vector<Contender> contenders;
    for (const std::string& name : way_names(row.what)) {
      const Way way = make_way(name, data, row.what, mode);
      contenders.push_back({fmt::format("{} {}", mode == Mode::training ? "training" : "inference", name),
                            [way] { way.call(); }});
      if (!way.stats) continue;
      for (int call = 0; call < 5; ++call) way.call();
      report.require(way.stats().plan_runs > 0,
                     fmt::format("{} {} {} did not run compiled", row.cell, shape, name));
    }
    const double guess_us = flops / 40e3 + 10;  // of one call, to choose how many to take
    const int blocks = quick ? 1 : std::clamp(static_cast<int>(20e3 / guess_us), 1, 200);
    measure(contenders, {quick ? 1 : 10, blocks, 1});
    for (const Contender& contender : contenders) {
      const Samples& samples = contender.samples;
      Row made{row.cell, shape, contender.mode, samples.median(), samples.minimum()};
      if (peak > 0) made.limit_us = flops / peak;
      if (peak > 0) made.more = {{"% of peak", 100 * flops / peak / samples.median()}};
      report.add(made);
    }
  }
}

}  // namespace calque::bench
