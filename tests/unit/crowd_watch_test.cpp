// Whether a team is given up for a while: only where one thread would have been quicker, longer each time, and never for ever.
#include "runtime/crowd_watch.h"

#include <catch2/catch.hpp>

using namespace calque;

namespace {

constexpr uint64_t kRun = 1'000'000, kLongest = 1'000'000'000;

/// How long from `now` on one thread is advised.
uint64_t pause(const CrowdWatch& watch, uint64_t now) {
  constexpr uint64_t kStep = 1'000'000;
  uint64_t ticks = 0;
  while (ticks < 2 * kLongest && watch.advises_one_thread(now + ticks)) ticks += kStep;
  return ticks;
}

}  // namespace

TEST_CASE("crowd: who waits for a member to wake up is not in a crowd") {
  constexpr uint64_t kNow = 1'000'000;
  CHECK(CrowdWatch::sleep_in_crowd(300'000, kNow, 500'000) == 300'000);  // both had begun
  CHECK(CrowdWatch::sleep_in_crowd(300'000, kNow, 900'000) == 0);
}

TEST_CASE("crowd: members that hardly slept, or as long as one thread would have taken, stay a team") {
  CrowdWatch watch;
  CHECK_FALSE(watch.advises_one_thread(0));
  for (const auto& [threads, slept] : {std::pair{2, uint64_t{0}}, {2, kRun / 2}, {4, kRun / 2}, {4, kRun / 4 * 3}, {1, uint64_t{0}}}) {
    watch.note(threads, kRun, slept, kRun);
    CHECK_FALSE(watch.advises_one_thread(kRun + 1));
  }
}

TEST_CASE("crowd: where a member slept for longer, one thread is advised, for longer each time up to a limit") {
  CrowdWatch watch;
  uint64_t now = kRun, last = 0;
  for (int i = 0; i < 12; ++i) {
    watch.note(2, kRun, kRun * 6 / 10, now);
    const uint64_t ticks = pause(watch, now + 1);
    CHECK(ticks > 0);
    CHECK(ticks >= last);
    CHECK(ticks < kLongest);
    last = ticks, now += ticks + 1;
  }
  watch.note(2, kRun, 0, now);
  CHECK_FALSE(watch.advises_one_thread(now + 1));
  watch.note(2, kRun, kRun, now);
  CHECK(pause(watch, now + 1) < last);
}
