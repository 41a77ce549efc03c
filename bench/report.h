// What every benchmark is asked and answers: its options, a table, and with --json one JSON object per row.
#pragma once

#include <fmt/format.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "calque/compile.h"
#include "runtime/kernels/isa.h"
#include "runtime/thread_pool.h"

namespace calque::bench {

/// --json FILE, --threads N, and --quick: so few repetitions that the figures mean nothing (for tests).
struct Options {
  bool quick = false;
  std::string json;
};

/// Reads the command line and sets the pool's threads; ends the program where it means nothing.
inline Options read_options(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; ++i) {
    const std::string_view word = argv[i];
    const bool has_value = i + 1 < argc;
    if (word == "--quick") {
      options.quick = true;
    } else if (word == "--json" && has_value) {
      options.json = argv[++i];
    } else if (word == "--threads" && has_value && std::atoi(argv[i + 1]) > 0) {
      ThreadPool::instance().set_num_threads(std::atoi(argv[++i]));
    } else {
      fmt::print(stderr, "usage: {} [--quick] [--threads N] [--json FILE]\n", argv[0]);
      std::exit(2);
    }
  }
  return options;
}

struct Row {
  std::string workload, shape, mode;
  double ours_us = 0;                                  // median
  double minimum_us = 0;                               // 0 where there is none
  double goal_us = 0;                                  // at most this; 0 where there is no goal
  double limit_us = 0;                                 // what the machine allows; 0 where that is not known
  std::vector<std::pair<std::string, double>> more{};  // further figures by name
};

/// "AMD EPYC": the processor by the name that it gives itself.
inline std::string processor() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);)
    if (line.starts_with("model name")) return line.substr(line.find(':') + 2);
  return "unknown";
}

inline double load_average() {
  double load = 0;
  return getloadavg(&load, 1) == 1 ? load : -1;
}

inline std::string json_text(std::string_view text) {
  std::string result = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') result += '\\';
    result += static_cast<unsigned char>(c) < 0x20 ? ' ' : c;
  }
  return result + '"';
}

/// Whether all calls but the first ones ran as compiled code: a function that could not be compiled runs
/// eagerly, and what was measured of it is something else.
inline bool ran_compiled(const CompileStats& stats) { return stats.plan_runs + 3 >= stats.calls; }

/// Prints rows as they come; finish() writes the file.
class Report {
 public:
  Report(std::string bench, const Options& options) : bench_(std::move(bench)), options_(options) {
    fmt::print("{}: {}, {} cores, {}, {} threads, load {:.1f}\n", bench_, processor(),
               std::thread::hardware_concurrency(), kernels::name(kernels::isa_level()), threads(),
               load_average());
    fmt::print("{:<24} {:<14} {:<22} {:>11} {:>11} {:>9} {:>11}\n", "workload", "shape", "mode", "median us",
               "minimum us", "goal us", "limit us");
  }

  void add(const Row& row) {
    fmt::print("{:<24} {:<14} {:<22} {:>11.4g} {:>11} {:>9} {:>11}", row.workload, row.shape, row.mode,
               row.ours_us, number(row.minimum_us), number(row.goal_us), number(row.limit_us));
    for (const auto& [name, value] : row.more) fmt::print("  {} {:.4g}", name, value);
    fmt::print("\n");
    std::fflush(stdout);
    json_ += json_of(row);
  }

  /// Says what is wrong with the figures where `condition` does not hold; the program then fails.
  void require(bool condition, std::string_view fault) {
    if (condition) return;
    fmt::print(stderr, "{}: {}\n", bench_, fault);
    exit_code_ = 1;
  }

  /// The exit code of the program: 1 where something is wrong with the figures or the file cannot be written.
  int finish() const {
    if (options_.json.empty()) return exit_code_;
    std::ofstream file(options_.json);
    file << json_;
    if (file.flush()) return exit_code_;
    fmt::print(stderr, "{}: {} cannot be written\n", bench_, options_.json);
    return 1;
  }

 private:
  static int threads() { return ThreadPool::instance().num_threads(); }
  static std::string number(double value) { return value == 0 ? "" : fmt::format("{:.4g}", value); }

  /// The members that all benchmarks write, those of peers null where there are none; then what this one has
  /// beside them.
  std::string json_of(const Row& row) const {
    std::string line =
        fmt::format(R"({{"bench": {}, "workload": {}, "shape": {}, "mode": {}, "threads": {}, "ours_us": {})",
                    json_text(bench_), json_text(row.workload), json_text(row.shape), json_text(row.mode),
                    threads(), row.ours_us);
    line += fmt::format(
        R"(, "best_peer": null, "best_peer_us": null, "ratio": null, "limit_us": {}, "goal_ratio": null)",
        row.limit_us == 0 ? "null" : fmt::format("{}", row.limit_us));
    const std::pair<const char*, double> given[] = {{"minimum_us", row.minimum_us}, {"goal_us", row.goal_us}};
    for (const auto& [name, value] : given)
      if (value != 0) line += fmt::format(R"(, "{}": {})", name, value);
    for (const auto& [name, value] : row.more) line += fmt::format(", {}: {}", json_text(name), value);
    return line + fmt::format(R"(, "processor": {}, "cores": {}, "isa": {}, "load": {:.2f}}})"
                              "\n",
                              json_text(processor()), std::thread::hardware_concurrency(),
                              json_text(kernels::name(kernels::isa_level())), load_average());
  }

  std::string bench_;
  Options options_;
  std::string json_;
  int exit_code_ = 0;
};

}  // namespace calque::bench
