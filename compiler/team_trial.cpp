// Times runs on one thread and with a team.
#include "compiler/team_trial.h"

#include <algorithm>
#include <mutex>

namespace calque {

bool TeamTrial::with_team() {
  const std::unique_lock lock(busy_, std::try_to_lock);
  if (!lock.owns_lock()) return team_is_quicker_.load(std::memory_order_relaxed);
  if (rest_ > 0) {
    --rest_;
    return team_is_quicker_.load(std::memory_order_relaxed);
  }
  return is_tried(false);
}

void TeamTrial::note(bool with_team, uint64_t duration) {
  const std::unique_lock lock(busy_, std::try_to_lock);
  if (!lock.owns_lock()) return;
  Way& way = ways_[with_team];
  if (rest_ > 0 || is_tried(with_team)) return;  // of a run that began before others decided
  if (way.runs >= kUncounted) way.durations[way.runs - kUncounted] = duration;
  ++way.runs;
  if (is_tried(false) && is_tried(true)) decide();
}

uint64_t TeamTrial::median(bool with_team) const {
  std::array<uint64_t, kCounted> durations = ways_[with_team].durations;
  std::nth_element(durations.begin(), durations.begin() + kCounted / 2, durations.end());
  return durations[kCounted / 2];
}

void TeamTrial::decide() {
  const bool team_is_quicker = median(true) < median(false);
  if (team_is_quicker_.exchange(team_is_quicker, std::memory_order_relaxed) != team_is_quicker)
    next_rest_ = kFirstRest;
  rest_ = next_rest_;
  next_rest_ = std::min(2 * next_rest_, kLongestRest);
  ways_ = {};
}

}  // namespace calque
