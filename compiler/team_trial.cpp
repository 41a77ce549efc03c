// Times runs on one thread and with a team.
#include "compiler/team_trial.h"

#include <algorithm>
#include <mutex>

namespace calque {

bool TeamTrial::with_team() {
  const std::unique_lock lock(busy_, std::try_to_lock);
  if (!lock.owns_lock() || rests_) return team_is_quicker_.load(std::memory_order_relaxed);
  return is_tried(false);
}

void TeamTrial::note(bool with_team, uint64_t duration, uint64_t now) {
  const std::unique_lock lock(busy_, std::try_to_lock);
  if (!lock.owns_lock()) return;
  if (rests_) {
    if (with_team == team_is_quicker_.load(std::memory_order_relaxed)) rest(duration, now);
    return;
  }
  if (is_tried(with_team)) return;  // of a run that began before others had made theirs
  Way& way = ways_[with_team];
  if (way.runs >= kUncounted) way.durations[way.runs - kUncounted] = duration;
  ++way.runs;
  if (is_tried(false) && is_tried(true)) decide(now);
}

uint64_t TeamTrial::median(bool with_team) const {
  std::array<uint64_t, kCounted> durations = ways_[with_team].durations;
  std::nth_element(durations.begin(), durations.begin() + kCounted / 2, durations.end());
  return durations[kCounted / 2];
}

void TeamTrial::decide(uint64_t now) {
  const bool team_is_quicker = median(true) < median(false);
  team_is_quicker_.store(team_is_quicker, std::memory_order_relaxed);
  other_median_ = median(!team_is_quicker);
  decided_at_ = now;
  rested_ = slow_runs_ = 0;
  rests_ = true;
}

void TeamTrial::rest(uint64_t duration, uint64_t now) {
  ++rested_;
  slow_runs_ = duration > other_median_ ? slow_runs_ + 1 : 0;
  const bool was_long = rested_ >= kLeastRest && now - decided_at_ >= kLeastTime;
  if (!was_long && slow_runs_ < kSlowRuns) return;
  ways_ = {};
  rests_ = false;
}

}  // namespace calque
