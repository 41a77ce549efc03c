// What random numbers and dropout cost, eager and compiled.
#include "bench/measure.h"
#include "bench/report.h"
#include "calque/calque.h"

using namespace calque;
using namespace calque::bench;

namespace {

void add_rows(Report& report, const char* workload, int64_t elements, const std::vector<Contender>& contenders) {
  for (const Contender& contender : contenders) {
    const double us = contender.samples.median();
    Row row{workload, std::to_string(elements), contender.mode, us, contender.samples.minimum(), 0};
    row.more = {{"ns per element", us * 1e3 / static_cast<double>(elements)}};
    report.add(row);
  }
}

}  // namespace

int main(int argc, char** argv) {
  const Options options = read_options(argc, argv);
  Report report("random", options);
  for (const int64_t rows : {int64_t{16}, int64_t{1024}}) {
    const Effort effort = options.quick ? Effort{1, 2, 3} : Effort{10, 10, rows == 16 ? 100 : 3};
    const Shape shape{rows, 256};
    const Tensor x = randn(shape);
    auto compiled_rand = compile([&] { return rand(shape); });
    auto compiled_dropout = compile([](const Tensor& input) { return dropout(input, 0.1); });
    std::vector<Contender> uniform{{"eager", [&] { rand(shape); }}, {"compiled", [&] { compiled_rand(); }}};
    std::vector<Contender> normal{{"eager", [&] { randn(shape); }}};
    std::vector<Contender> drop{{"eager", [&] { dropout(x, 0.1); }}, {"compiled", [&] { compiled_dropout(x); }}};
    measure(uniform, effort);
    measure(normal, effort);
    measure(drop, effort);
    add_rows(report, "rand", rows * 256, uniform);
    add_rows(report, "randn", rows * 256, normal);
    add_rows(report, "dropout", rows * 256, drop);
  }
  return report.finish();
}
