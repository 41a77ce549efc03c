// How the benchmarks take time: samples of one call each, taken in turns so that noise of the machine hits
// all alike.
#pragma once

#include <algorithm>
#include <chrono>
#include <functional>
#include <string>
#include <vector>

namespace calque::bench {

inline double now_us() {
  return std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

/// Microseconds of one call, many times.
struct Samples {
  std::vector<double> us;

  double minimum() const { return *std::min_element(us.begin(), us.end()); }
  double median() const {
    std::vector<double> sorted = us;
    std::nth_element(sorted.begin(), sorted.begin() + sorted.size() / 2, sorted.end());
    return sorted[sorted.size() / 2];
  }
};

/// One thing to time, and what was measured of it.
struct Contender {
  std::string mode;
  std::function<void()> call;
  Samples samples{};
};

/// How long to measure: `rounds` turns of each contender, each of `blocks` samples; a sample is the mean of
/// `calls` calls (more than one where a call is so short that reading the clock would count).
struct Effort {
  int rounds, blocks, calls;
};

/// The contenders take turns; the first sample of a turn, with caches that belong to the one before, is
/// dropped.
inline void measure(std::vector<Contender>& contenders, const Effort& effort) {
  for (Contender& contender : contenders)
    for (int call = 0; call < 5; ++call) contender.call();  // records, compiles, runs
  for (int round = 0; round < effort.rounds; ++round)
    for (Contender& contender : contenders)
      for (int block = 0; block <= effort.blocks; ++block) {
        const double start = now_us();
        for (int call = 0; call < effort.calls; ++call) contender.call();
        if (block > 0) contender.samples.us.push_back((now_us() - start) / effort.calls);
      }
}

}  // namespace calque::bench
