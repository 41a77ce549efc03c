// Whether a team is quicker than one thread, found out by running both: what a barrier costs is for the machine to say, and
// changes while a program runs.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>

#include "runtime/try_lock.h"

namespace calque {

/// Some runs in a row on one thread, some with a team, then the quicker way (by medians) for a while, until both are tried again:
/// sooner where it has become slower than the other one was. Any number of threads may ask at once: none waits, and what one notes
/// while another is inside does not count.
class TeamTrial {
 public:
  /// Which way the next run is to go.
  bool with_team();
  /// How long a run took that has just ended, in ticks of the time-stamp counter.
  void note(bool with_team, uint64_t duration, uint64_t now);

 private:
  static constexpr int kUncounted = 2, kCounted = 7;  // runs of each way in a trial: the first fetch data and threads
  // A trial costs nine runs of the slower way: of so many runs, one in a hundred or less. The host of a virtual machine moves its
  // processors every few seconds.
  static constexpr int kLeastRest = 256;               // runs between trials
  static constexpr uint64_t kLeastTime = 200'000'000;  // ticks between trials: 50 to 100 ms
  static constexpr int kSlowRuns = 16;                 // in a row, which end a rest

  struct Way {
    int runs = 0;
    std::array<uint64_t, kCounted> durations{};
  };
  bool is_tried(bool with_team) const { return ways_[with_team].runs == kUncounted + kCounted; }
  uint64_t median(bool with_team) const;
  void decide(uint64_t now);
  void rest(uint64_t duration, uint64_t now);

  TryLock busy_;  // guards what follows
  std::array<Way, 2> ways_;  // [with_team]
  std::atomic<bool> team_is_quicker_ = false;  // is read without the lock, too
  bool rests_ = false;
  int rested_ = 0, slow_runs_ = 0;  // runs since the decision; those in a row that were slower than the other way then
  uint64_t decided_at_ = 0, other_median_ = 0;
};

}  // namespace calque
