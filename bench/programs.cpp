// What loops cost that are written as people write them, at a length that is new in most calls: a call of a length that was there
// before beside eager execution, a call of one that was not, and how many calls were recorded.
#include <map>
#include <random>

#include "bench/loops_as_written.h"
#include "bench/measure.h"
#include "bench/report.h"
#include "calque/calque.h"

using namespace calque;
using namespace calque::bench;

namespace {

constexpr int64_t kBatch = 3, kHidden = 32;
constexpr uint64_t kMostRecorded = 5;  // of a program that one recorded way serves
constexpr int kFirstCalls = 10;        // in which ways are recorded and code is generated

struct Figures {
  Samples known, fresh, eager;
  CompileStats stats;
};

/// The results and, where weights require them, gradients of all weights.
template <class Program>
double microseconds(Program& program, const Tensor& xs, const LstmCell& cell) {
  const double start = now_us();
  const Tensors results = program(xs, cell.h, cell.c, cell.w);
  if (cell.w[0].requires_grad()) {
    Tensor loss = sum(results[0]);
    for (const Tensor& result : results) loss = loss + sum(square(result));
    grad(loss, cell.w);
  }
  results.back().detach().data<float>();
  return now_us() - start;
}

Figures measure(const LoopAsWritten& program, bool has_gradients, int calls) {
  manual_seed(1);
  Tensors weights{randn({kHidden, 4 * kHidden}) * 0.1, randn({kHidden, 4 * kHidden}) * 0.1, randn({4 * kHidden}) * 0.1};
  for (Tensor& weight : weights) weight = weight.detach().set_requires_grad(has_gradients);
  const Tensor start = zeros({kBatch, kHidden});
  const LstmCell cell{start, start, weights};
  const auto written = [&](const Tensor& xs, const Tensor& h, const Tensor& c, const Tensors& w) { return program.run(xs, {h, c, w}); };
  auto compiled = compile(written);
  Figures figures;
  std::map<int64_t, int> seen;
  std::mt19937 random(3);
  for (int call = 0; call < calls; ++call) {
    const auto steps = static_cast<int64_t>(5 + random() % 36);
    const Tensor xs = randn({steps, kBatch, kHidden});
    const double us = microseconds(compiled, xs, cell), eager = microseconds(written, xs, cell);
    const int before = seen[steps]++;
    if (call < kFirstCalls) continue;
    figures.eager.us.push_back(eager);
    if (before == 0) figures.fresh.us.push_back(us);
    if (before > 1) figures.known.us.push_back(us);
  }
  figures.stats = compiled.stats();
  return figures;
}

}  // namespace

int main(int argc, char** argv) {
  const Options options = read_options(argc, argv);
  Report report("programs", options);
  for (const LoopAsWritten& program : kLoopsAsWritten)
    for (const bool has_gradients : {false, true}) {
      const Figures figures = measure(program, has_gradients, options.quick ? 100 : 300);
      Row row{program.name, fmt::format("({},{},{})", kBatch, kHidden, kHidden), has_gradients ? "training" : "inference",
              figures.known.median(), figures.known.minimum()};
      row.more = {{"eager", figures.eager.median()},
                  {"new length", figures.fresh.median()},
                  {"recorded", static_cast<double>(figures.stats.recorded_calls)},
                  {"generated", static_cast<double>(figures.stats.code_generations)}};
      report.add(row);
      report.require(!program.is_one_way || figures.stats.recorded_calls <= kMostRecorded,
                     fmt::format("\"{}\" was recorded again and again", program.name));
    }
  return report.finish();
}
