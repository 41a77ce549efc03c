// From exec to the first compiled result: with an empty cache folder (cold), and with what an earlier run
// left (warm).
//
// The program starts itself again and again; the child compiles after its first call, so that its second runs
// compiled, and prints a line, at which the clock stops. The warm child must take its code from the cache and
// must not have the code generator's plugin mapped. The limit is the same program printing its line at once.
// Rows "first call" are of the same processes, from inside: the first call of the function, which records and
// compiles it, alone.
#include <sys/wait.h>

#include <stdexcept>

#include "bench/child.h"
#include "bench/measure.h"
#include "bench/report.h"
#include "calque/calque.h"
#include "cli/cells.h"

using namespace calque;
using namespace calque::bench;

namespace {

// --- the child

bool maps_code_generator() {
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);)
    if (line.find("libcalque_cpu_codegen.so") != std::string::npos) return true;
  return false;
}

/// Calls the function once, which compiles it, and a second time, from its plan. Prints everything that the
/// parent checks in one line; the maps are read after it, off the clock.
template <class Function, class Call>
int answer(const Function& function, Call call) {
  const double begin = now_us();
  call();
  const double first_call_us = now_us() - begin;
  call();
  const CompileStats stats = function.stats();
  fmt::print("{} {} {} {}\n", stats.plan_runs, stats.compilations, stats.cache_hits, first_call_us);
  std::fflush(stdout);
  fmt::print("{}\n", static_cast<int>(maps_code_generator()));
  return 0;
}

int run_pointwise() {
  const Tensor x = ones({64}), y = ones({64});
  auto function = compile([](const Tensor& a, const Tensor& b) { return tanh(a * b + 1.0) * sigmoid(a); },
                          {.name = "pointwise", .compile_at_once = true});
  return answer(function, [&] { function(x, y).data<float>(); });
}

int run_cell() {
  const cli::CellWeights weights(64, 64, 4, true);
  const NoGradGuard guard;
  const Tensor x = ones({1, 64}), h = zeros({1, 64}), c = zeros({1, 64});
  auto cell = compile(&cli::layernorm_lstm, {.name = "layernorm_lstm", .compile_at_once = true});
  return answer(cell, [&] { cell(x, h, c, weights).h.data<float>(); });
}

int run_child(std::string_view workload) {
  if (workload == "pointwise") return run_pointwise();
  if (workload == "layernorm_lstm") return run_cell();
  fmt::print("0 0 0 0\n");
  std::fflush(stdout);
  fmt::print("{}\n", static_cast<int>(maps_code_generator()));
  return 0;
}

// --- the parent

struct Answer {
  double us = 0, first_call_us = 0;
  int plan_runs = 0, compilations = 0, cache_hits = 0, maps_plugin = 0;
};

Answer start(const char* workload) {
  Answer answer;
  pid_t child = 0;
  const double begin = now_us();
  FILE* const lines = fdopen(spawn_child({"--child", workload}, child), "r");
  int read = std::fscanf(lines, "%d %d %d %lf", &answer.plan_runs, &answer.compilations, &answer.cache_hits,
                         &answer.first_call_us);
  answer.us = now_us() - begin;
  read += std::fscanf(lines, "%d", &answer.maps_plugin);
  std::fclose(lines);
  int status = 0;
  waitpid(child, &status, 0);
  if (read != 5 || status != 0) throw std::runtime_error(fmt::format("the child for {} failed", workload));
  return answer;
}

void require(bool condition, const char* workload, const char* what) {
  if (!condition) throw std::runtime_error(fmt::format("{}: {}", workload, what));
}

/// Of several starts: from exec to the first compiled result, and the first call alone.
struct Starts {
  Samples whole, first_call;
  void add(const Answer& answer) {
    whole.us.push_back(answer.us);
    first_call.us.push_back(answer.first_call_us);
  }
};

Samples empty_starts(int count) {
  Samples samples;
  for (int i = 0; i < count; ++i) samples.us.push_back(start("nothing").us);
  return samples;
}

Starts cold_starts(const char* workload, int count) {
  Starts starts;
  for (int i = 0; i < count; ++i) {
    const CacheFolder folder;
    const Answer answer = start(workload);
    require(answer.plan_runs == 1 && answer.compilations == 1, workload,
            "a cold start did not compile and run");
    starts.add(answer);
  }
  return starts;
}

Starts warm_starts(const char* workload, int count) {
  const CacheFolder folder;
  start(workload);
  Starts starts;
  for (int i = 0; i < count; ++i) {
    const Answer answer = start(workload);
    require(answer.plan_runs == 1 && answer.cache_hits == 1, workload,
            "a warm start did not run from the cache");
    require(answer.maps_plugin == 0, workload, "a warm start opened the code generator");
    starts.add(answer);
  }
  return starts;
}

void add_row(Report& report, const char* workload, const char* shape, const char* mode,
             const Samples& samples, double goal, double limit) {
  report.add({workload, shape, mode, samples.median(), samples.minimum(), goal, limit});
}

int run_parent(const Options& options) {
  Report report("startup", options);
  const Samples empty = empty_starts(options.quick ? 1 : 50);
  add_row(report, "empty program", "", "exec to a line", empty, 0, 0);
  const std::pair<const char*, const char*> workloads[] = {{"pointwise", "64"},
                                                           {"layernorm_lstm", "1,64,64"}};
  for (const auto& [workload, shape] : workloads) {
    const Starts cold = cold_starts(workload, options.quick ? 1 : 25);
    add_row(report, workload, shape, "cold", cold.whole, 100e3, empty.median());
    add_row(report, workload, shape, "cold, first call", cold.first_call, 50e3, 0);
    const Starts warm = warm_starts(workload, options.quick ? 1 : 50);
    add_row(report, workload, shape, "warm", warm.whole, 5e3, empty.median());
    add_row(report, workload, shape, "warm, first call", warm.first_call, 3e3, 0);
  }
  return report.finish();
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 3 && std::string_view(argv[1]) == "--child") return run_child(argv[2]);
  try {
    return run_parent(read_options(argc, argv));
  } catch (const std::runtime_error& error) {
    fmt::print(stderr, "startup: {}\n", error.what());
    return 1;
  }
}
