// What a matched op costs, what a call of a compiled function costs beside its ops, and what it allocates.
//
// The function runs a chain of N ops whose result nobody holds at its end, and returns x + y: every op of the
// chain is matched, but the plan is one kernel of one add over 64 elements whatever N is. The slope between
// two N is thus the cost of matching alone, and what is left at N = 0 the cost of a call with one small
// kernel.
#include <cstdint>

#include "bench/allocations.h"
#include "bench/measure.h"
#include "bench/report.h"
#include "calque/calque.h"
#include "cli/cells.h"

using namespace calque;
using namespace calque::bench;

namespace {

constexpr int kFewOps = 10, kManyOps = 60;

/// A chain of ops that are matched and then dropped; only x + y is made.
auto chain(int ops) {
  return [ops](const Tensor& x, const Tensor& y) {
    Tensor value = x;
    for (int i = 1; i < ops; ++i) value = i % 2 != 0 ? mul(value, y) : add(value, x);
    return add(x, y);
  };
}

/// Matching per op and entry of the plan, from chains of two lengths.
void match_rows(Report& report, const Effort& effort, bool is_recording) {
  const Tensor x = ones({64}), y = ones({64});
  if (is_recording) Tensor(x).set_requires_grad();
  auto few = compile(chain(kFewOps), {.name = "few"}), many = compile(chain(kManyOps), {.name = "many"});
  std::vector<Contender> contenders;
  contenders.push_back({"few", [&] { few(x, y); }});
  contenders.push_back({"many", [&] { many(x, y); }});
  measure(contenders, effort);
  report.require(ran_compiled(few.stats()) && ran_compiled(many.stats()), "the chains did not run compiled");
  const Samples &short_one = contenders[0].samples, &long_one = contenders[1].samples;
  const auto slope = [](double a, double b) { return (b - a) / (kManyOps - kFewOps); };
  const double per_op = slope(short_one.median(), long_one.median());
  const double least = slope(short_one.minimum(), long_one.minimum());
  const std::string mode = is_recording ? "recording gradients" : "no gradients";
  Row op{"matched op", "64", mode, per_op, least};
  op.goal_us = 0.030;
  report.add(op);
  Row entry{"call with one kernel", "64", mode, short_one.median() - kFewOps * per_op,
            short_one.minimum() - kFewOps * least};
  add_allocations(entry, contenders[1].call);
  report.add(entry);
}

/// A call of a small cell, and how much of it each op takes with its share of the plan.
void cell_row(Report& report, const Effort& effort) {
  const cli::CellWeights weights(16, 16, 4, true);
  const Tensor x = nn::normal({1, 16}), h = zeros({1, 16}), c = zeros({1, 16});
  auto cell = compile(&cli::layernorm_lstm, {.name = "layernorm_lstm"});
  const NoGradGuard guard;
  std::vector<Contender> contenders;
  contenders.push_back({"compiled", [&] { cell(x, h, c, weights); }});
  measure(contenders, effort);
  const CompileStats before = cell.stats();
  report.require(ran_compiled(before), "the cell did not run compiled");
  contenders[0].call();
  const auto ops = static_cast<double>(cell.stats().matched_ops - before.matched_ops);
  const Samples& samples = contenders[0].samples;
  Row row{"layernorm_lstm cell", "1,16,16", "no gradients", samples.median(), samples.minimum()};
  row.more = {{"ops", ops}, {"us per op with its share of the plan", samples.median() / ops}};
  add_allocations(row, contenders[0].call);
  report.add(row);
}

}  // namespace

int main(int argc, char** argv) {
  const Options options = read_options(argc, argv);
  const Effort effort = options.quick ? Effort{1, 2, 10} : Effort{20, 20, 500};
  Report report("match", options);
  for (const bool is_recording : {false, true}) match_rows(report, effort, is_recording);
  cell_row(report, effort);
  return report.finish();
}
