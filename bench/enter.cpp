// What it costs to enter a pure function: its key, its plan of one small kernel, and its output; beside the
// same call matched and eager.
#include "bench/allocations.h"
#include "bench/measure.h"
#include "calque/calque.h"

using namespace calque;
using namespace calque::bench;

namespace {

Tensor twice_and_one(const Tensor& x) { return x * 2.0 + 1.0; }

void chain_rows(Report& report, const Effort& effort, int64_t elements, bool is_recording) {
  Tensor x = ones({elements});
  if (is_recording) x.set_requires_grad();
  auto entered = compile(pure, &twice_and_one, {.name = "entered", .audits = false});
  auto matched = compile(&twice_and_one, {.name = "matched"});
  std::vector<Contender> contenders;
  contenders.push_back({"pure", [&] { entered(x); }});
  contenders.push_back({"matched", [&] { matched(x); }});
  contenders.push_back({"eager", [&] { twice_and_one(x); }});
  measure(contenders, effort);
  report.require(entered.stats().entered_calls + 2 >= entered.stats().calls, "the function was not entered");
  for (const Contender& contender : contenders) {
    Row row{"x * 2 + 1", std::to_string(elements), contender.mode + (is_recording ? ", recording" : ""),
            contender.samples.median(), contender.samples.minimum()};
    if (contender.mode == "pure") row.goal_us = is_recording ? 0 : 0.5;
    add_allocations(row, contender.call);
    report.add(row);
  }
}

/// Parameters are read through their slots.
void module_row(Report& report, const Effort& effort) {
  const nn::Linear layer(16, 16);
  auto entered =
      compile(pure, [&](const Tensor& x) { return tanh(layer(x)); }, {.name = "module", .audits = false});
  const Tensor x = ones({1, 16});
  const NoGradGuard guard;
  std::vector<Contender> contenders;
  contenders.push_back({"pure", [&] { entered(x); }});
  measure(contenders, effort);
  Row row{"tanh(linear(x))", "1,16", "pure, 2 slots", contenders[0].samples.median(),
          contenders[0].samples.minimum()};
  add_allocations(row, contenders[0].call);
  report.add(row);
}

}  // namespace

int main(int argc, char** argv) {
  const Options options = read_options(argc, argv);
  const Effort effort = options.quick ? Effort{1, 2, 10} : Effort{20, 20, 500};
  Report report("enter", options);
  for (const bool is_recording : {false, true}) chain_rows(report, effort, 1, is_recording);
  chain_rows(report, effort, 64, false);
  module_row(report, effort);
  return report.finish();
}
