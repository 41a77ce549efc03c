// What a loop of so many steps takes beside its inputs and outputs: ops, IR, compile time and bytes.
//
// Each row is of fresh processes with an empty cache folder, which run an LSTM (1,64,64) over a sequence:
//   us            what compiling took, as stats() counts it
//   io            bytes of the inputs and outputs
//   nodes inside  recorded ops when the first call is over but for its end; `nodes`: what is left of them
//   ops           lines of the lowered graph, with gradients those of the backward one as well
//   plan          bytes of the plan's buffers at its peak, without the outputs; `scratch`: those of them that
//                 hold values between its steps
//   call          bytes by which the heap grows in a call (with gradients also in the backward one), without
//                 the outputs
//   kept          bytes that the function keeps between calls: what is recorded, plans, packed weights, and
//                 the handles of as many tensors as a matched call had at once
//   first call    by how much the first call, which runs step by step, raises the process's peak
//   saved a step  bytes that the forward run leaves for the backward one
// The program fails where what is recorded or compiled grows with the steps; bytes are for the reader.
#include <malloc.h>
#include <sys/wait.h>

#include <algorithm>
#include <cinttypes>
#include <functional>
#include <map>
#include <memory>
#include <optional>

#include "bench/child.h"
#include "bench/measure.h"
#include "bench/report.h"
#include "calque/calque.h"
#include "calque/pure.h"
#include "examples/cells/cell.h"
#include "runtime/pool.h"

using namespace calque;
using namespace calque::bench;

namespace {

using Tensors = std::vector<Tensor>;

/// Of one process.
struct Figures {
  double compile_us = 0, io = 0, nodes_inside = 0, nodes = 0, ops = 0, plan = 0, scratch = 0, call = 0,
         kept = 0, first_call = 0, saved = 0;
};

constexpr std::pair<const char*, double Figures::*> kFigures[] = {{"us", &Figures::compile_us},
                                                                  {"io", &Figures::io},
                                                                  {"nodes inside", &Figures::nodes_inside},
                                                                  {"nodes", &Figures::nodes},
                                                                  {"ops", &Figures::ops},
                                                                  {"plan", &Figures::plan},
                                                                  {"scratch", &Figures::scratch},
                                                                  {"call", &Figures::call},
                                                                  {"kept", &Figures::kept},
                                                                  {"first call", &Figures::first_call},
                                                                  {"saved a step", &Figures::saved}};

// --- the child

/// Bytes that the process has taken from the heap, with what the pool keeps of them for later: by how much a
/// call raises it is what the call had at once.
double heap_bytes_with_freed() {
  const struct mallinfo2 heap = mallinfo2();
  return static_cast<double>(heap.uordblks + heap.hblkhd);
}
double heap_bytes() {
  memory::release_cached();
  return heap_bytes_with_freed();
}

/// Of memory of the process, in bytes: the most that it ever had ("VmHWM:"), or has now ("VmRSS:").
double resident_bytes(const std::string& which) {
  std::ifstream file("/proc/self/status");
  for (std::string word; file >> word;)
    if (double kibibytes = 0; word == which && file >> kibibytes) return 1024 * kibibytes;
  return 0;
}

/// The bytes behind `words`, as explain() states them: "1.5 MB"; 0 where they are not there.
double stated_bytes(const std::string& text, size_t begin, const char* words) {
  const size_t at = begin == text.npos ? begin : text.find(words, begin);
  double number = 0;
  char unit[3] = {};
  if (at == text.npos || std::sscanf(text.c_str() + at + std::strlen(words), "%lf %2s", &number, unit) != 2)
    return 0;
  const std::map<std::string, double> units{{"B", 1}, {"kB", 1e3}, {"MB", 1e6}, {"GB", 1e9}};
  return units.contains(unit) ? number * units.at(unit) : 0;
}

/// Of a graph: all lines but its first and last.
double ops_of(const std::string& graph) {
  return std::max<double>(static_cast<double>(std::count(graph.begin(), graph.end(), '\n')) - 2, 0);
}

double saved_bytes(const std::string& explanation) {
  double bytes = 0;
  for (size_t at = explanation.find("\n  saved "); at != explanation.npos;
       at = explanation.find("\n  saved ", at + 1)) {
    const std::string line = explanation.substr(at, explanation.find('\n', at + 1) - at);
    double elements = 4, others = 0;  // bytes of one
    for (size_t end, i = line.find('[') + 1; i < line.find(']'); i += end + 1)
      elements *= std::stod(line.substr(i), &end);
    if (const size_t more = line.find("(and "); more != line.npos) others = std::stod(line.substr(more + 5));
    bytes += elements * (1 + others);
  }
  return bytes;
}

/// `compiled` gives what compile() makes of a function.
template <class Compile>
Figures figures_of(int64_t steps, bool has_gradients, const Compile& compiled) {
  const cells::Cell& cell = cells::find_cell("lstm");
  Tensors weights = cell.make_weights(64, 64);
  const Tensors state = cell.make_state(weights, 1);
  if (has_gradients)
    for (Tensor& weight : weights) weight.set_requires_grad();
  const Tensor xs = ones({steps, 1, 64});
  const double result_bytes = 4 * 64.0 * static_cast<double>(steps);  // of the outputs, and of the inputs
  const auto gradients = [&](const Tensor& outputs) {
    if (has_gradients) grad({sum(outputs)}, {weights[0], weights[1], weights[2]})[0].data<float>();
  };

  Figures figures{.io = 2 * result_bytes};
  const double heap_before = heap_bytes(), resident_before = resident_bytes("VmRSS:");
  std::function<CompileStats()> stats;
  auto loop =
      compiled([&, step = cell.step](const Tensor& xs, const Tensors& state, const Tensors& weights) mutable {
        Tensor outputs = cells::over_sequence(step, xs, state, weights).outputs;
        if (figures.nodes_inside == 0) figures.nodes_inside = static_cast<double>(stats().trace_nodes);
        return outputs;
      });
  stats = [&] { return loop.stats(); };
  loop(xs, state, weights).detach().template data<float>();
  figures.first_call = resident_bytes("VmHWM:") - resident_before - result_bytes;
  figures.nodes = static_cast<double>(loop.stats().trace_nodes);
  for (int call = 0; call < 4; ++call)
    gradients(loop(xs, state, weights));  // compiles, knows the call, packs weights
  figures.compile_us = static_cast<double>(loop.stats().compile_us);
  figures.kept = heap_bytes() - heap_before;
  const double before = heap_bytes();
  gradients(loop(xs, state, weights));
  figures.call = heap_bytes_with_freed() - before - result_bytes;

  const std::string text = loop.explain();
  figures.ops = ops_of(loop.dump("lower")) + (has_gradients ? ops_of(loop.dump("backward-lower")) : 0);
  for (const char* plan : {"\n  plan: ", "\n  backward plan: "}) {
    const size_t at = text.find(plan);
    figures.plan += stated_bytes(text, at, "at its peak ");
    figures.scratch += stated_bytes(text, at, "beside its inputs (");
  }
  figures.plan -= result_bytes;
  figures.saved = has_gradients ? saved_bytes(text) / static_cast<double>(steps) : 0;
  if (loop.stats().plan_runs == 0) throw std::runtime_error("the loop did not run compiled");
  return figures;
}

int run_child(int64_t steps, std::string_view mode) {
  const bool has_gradients = mode.starts_with("training");
  std::optional<NoGradGuard> guard;
  if (!has_gradients) guard.emplace();
  const Figures figures = mode.ends_with("pure")
                              ? figures_of(steps, has_gradients, [](auto f) { return compile(pure, f); })
                              : figures_of(steps, has_gradients, [](auto f) { return compile(f); });
  for (const auto& [name, member] : kFigures) fmt::print("{} ", figures.*member);
  return 0;
}

// --- the parent

Figures start(int64_t steps, const char* mode) {
  const CacheFolder folder;
  pid_t child = 0;
  FILE* const line = fdopen(spawn_child({"--child", std::to_string(steps), mode}, child), "r");
  Figures figures;
  bool is_complete = true;
  for (const auto& [name, member] : kFigures)
    is_complete &= std::fscanf(line, "%lf", &(figures.*member)) == 1;
  std::fclose(line);
  int status = 0;
  waitpid(child, &status, 0);
  if (!is_complete || status != 0)
    throw std::runtime_error(fmt::format("the child for {} steps, {}, failed", steps, mode));
  return figures;
}

/// Of several processes, each figure's median.
Figures median_of(int64_t steps, const char* mode, int repeats, double& least_us) {
  std::vector<Samples> samples(std::size(kFigures));
  for (int i = 0; i < repeats; ++i) {
    const Figures figures = start(steps, mode);
    for (size_t k = 0; k < std::size(kFigures); ++k) samples[k].us.push_back(figures.*kFigures[k].second);
  }
  Figures medians;
  for (size_t k = 0; k < std::size(kFigures); ++k) medians.*kFigures[k].second = samples[k].median();
  least_us = samples[0].minimum();
  return medians;
}

/// Whether a product stands before a loop or in it is chosen by the length.
constexpr double kMostOps = 1.25;

int run_parent(const Options& options) {
  Report report("memory", options);
  for (const char* mode : {"inference", "inference, pure", "training", "training, pure"}) {
    std::optional<Figures> shortest;
    for (int64_t steps = 10; steps <= (options.quick ? 100 : 10000); steps *= 10) {
      double least_us = 0;
      const Figures figures = median_of(steps, mode, options.quick ? 1 : 5, least_us);
      Row row{"lstm loop, steps", std::to_string(steps), mode, figures.compile_us, least_us};
      for (const auto& [name, member] : kFigures)
        if (member != &Figures::compile_us) row.more.emplace_back(name, figures.*member);
      report.add(row);
      if (!shortest) shortest = figures;
      report.require(figures.nodes == shortest->nodes,
                     fmt::format("{}: {} nodes are left of {} steps, {} of 10", mode, figures.nodes, steps,
                                 shortest->nodes));
      report.require(
          figures.ops <= kMostOps * shortest->ops,
          fmt::format("{}: {} steps are {} ops, 10 are {}", mode, steps, figures.ops, shortest->ops));
    }
  }
  return report.finish();
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 4 && std::string_view(argv[1]) == "--child") return run_child(std::atoll(argv[2]), argv[3]);
  try {
    return run_parent(read_options(argc, argv));
  } catch (const std::runtime_error& error) {
    fmt::print(stderr, "memory: {}\n", error.what());
    return 1;
  }
}
