// Whether other processes want the processors: members of a team then wait for each other's turns, and one thread is quicker.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>

namespace calque {

// All times in ticks of the time-stamp counter (2 to 4 GHz). One thread notes at a time, any may ask.
class CrowdWatch {
 public:
  bool advises_one_thread(uint64_t now) const { return now < alone_until_.load(std::memory_order_relaxed); }

  // A run of a team, in which some member slept for so long until others came. Members have equal shares of the work, so one thread
  // would have needed as many times what that member was awake.
  void note(int threads, uint64_t duration, uint64_t longest_sleep, uint64_t now) {
    const bool was_in_vain = longest_sleep * static_cast<uint64_t>(threads) > duration * static_cast<uint64_t>(threads - 1);
    if (was_in_vain) alone_until_.store(now + std::max(pause_, kRuns * duration), std::memory_order_relaxed);
    pause_ = was_in_vain ? std::min(2 * pause_, kLongestPause) : kFirstPause;
  }

 private:
  static constexpr uint64_t kRuns = 8;  // a pause is as long, at least
  static constexpr uint64_t kFirstPause = 20'000'000, kLongestPause = 640'000'000;  // 5 to 10 ms, and a fifth of a second or so
  std::atomic<uint64_t> alone_until_{0};
  uint64_t pause_ = kFirstPause;
};

}  // namespace calque
