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

  // Of a wait for a member that began then: what shows that others wanted the processors. Where the wait is older, that member was
  // asleep itself, as it is after some time without runs, and had to wake up: this says nothing of the next run.
  static uint64_t sleep_in_crowd(uint64_t waited, uint64_t now, uint64_t began) { return now - waited > began ? waited : 0; }

  // A run of a team, in which some member slept for so long until others came. Members have equal shares of the work, so one thread
  // would have needed as many times what that member was awake.
  void note(int threads, uint64_t duration, uint64_t longest_sleep, uint64_t now) {
    const bool was_in_vain = longest_sleep * static_cast<uint64_t>(threads) > duration * static_cast<uint64_t>(threads - 1);
    if (was_in_vain) alone_until_.store(now + (std::max(kLeastPause, duration) << in_vain_), std::memory_order_relaxed);
    in_vain_ = was_in_vain ? std::min(in_vain_ + 1, kMostDoublings) : 0;
  }

 private:
  static constexpr uint64_t kLeastPause = 20'000'000;  // 5 to 10 ms
  static constexpr int kMostDoublings = 5;
  std::atomic<uint64_t> alone_until_{0};
  int in_vain_ = 0;  // runs in a row
};

}  // namespace calque
