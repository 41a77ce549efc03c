// Whether a team is quicker than one thread, found out by running both: what a barrier costs is for the machine to say, and
// changes while a program runs.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>

#include "runtime/try_lock.h"

namespace calque {

/// Some runs in a row on one thread, some with a team, then the quicker way (by medians) for many runs, until both are tried
/// again. Any number of threads may ask at once: none waits, and what one notes while another is inside does not count.
class TeamTrial {
 public:
  /// Which way the next run is to go.
  bool with_team();
  /// How long a run took, in any unit of time.
  void note(bool with_team, uint64_t duration);

 private:
  static constexpr int kUncounted = 2, kCounted = 7;            // runs of each way in a trial: the first fetch data and threads
  static constexpr int kFirstRest = 64, kLongestRest = 1 << 12;  // runs between trials

  struct Way {
    int runs = 0;
    std::array<uint64_t, kCounted> durations{};
  };
  bool is_tried(bool with_team) const { return ways_[with_team].runs == kUncounted + kCounted; }
  uint64_t median(bool with_team) const;
  void decide();

  TryLock busy_;  // guards what follows
  std::array<Way, 2> ways_;  // [with_team]
  std::atomic<bool> team_is_quicker_ = false;  // is read without the lock, too
  int rest_ = 0, next_rest_ = kFirstRest;  // runs before the next trial; of the pause behind that
};

}  // namespace calque
