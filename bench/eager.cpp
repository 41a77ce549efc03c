// What an eager op costs on few elements, with and without recording, and a chain of ops forward and
// backward.
#include "bench/measure.h"
#include "bench/report.h"
#include "calque/calque.h"

using namespace calque;
using namespace calque::bench;

namespace {

constexpr int kChain = 20;
constexpr double kGoal = 0.25, kRecordingGoal = 0.4;  // microseconds for an op

Tensor chain(const Tensor& x, const Tensor& y) {
  Tensor value = x;
  for (int i = 0; i < kChain; ++i) value = i % 2 != 0 ? mul(value, y) : add(value, y);
  return value;
}

void add_row(Report& report, const char* workload, const Contender& contender, double goal, int ops) {
  const Samples& samples = contender.samples;
  Row row{workload, "64", contender.mode, samples.median(), samples.minimum(), goal};
  row.more = {{"us per op", samples.median() / ops}};
  report.add(row);
}

}  // namespace

int main(int argc, char** argv) {
  const Options options = read_options(argc, argv);
  const Effort effort = options.quick ? Effort{1, 2, 10} : Effort{20, 20, 500};
  Report report("eager", options);
  const Tensor x = nn::normal({64}), y = nn::normal({64});
  const Tensor leaf = x.contiguous().detach(), weight = ones({64});
  Tensor(weight).set_requires_grad();

  std::vector<Contender> ops;
  ops.push_back({"no gradients", [&] { add(leaf, y); }});
  ops.push_back({"recording gradients", [&] { add(leaf, weight); }});
  measure(ops, effort);
  for (size_t i = 0; i < ops.size(); ++i) add_row(report, "add", ops[i], i == 0 ? kGoal : kRecordingGoal, 1);

  const Tensor inputs[] = {weight}, seed[] = {ones({64})};
  std::vector<Contender> chains;
  chains.push_back({"forward", [&] { chain(leaf, y); }});
  chains.push_back({"forward, recording", [&] { chain(leaf, weight); }});
  chains.push_back({"forward and backward", [&] {
                      const Tensor outputs[] = {chain(leaf, weight)};
                      grad(outputs, inputs, {.output_gradients = seed});
                    }});
  measure(chains, {effort.rounds, effort.blocks, std::max(effort.calls / kChain, 1)});
  for (size_t i = 0; i < chains.size(); ++i)
    add_row(report, "chain of 20 ops", chains[i], i < 2 ? kRecordingGoal * kChain : 0, kChain);
  return report.finish();
}
