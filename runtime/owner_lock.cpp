// The rare ways of the owner's lock.
#include "runtime/owner_lock.h"

#include <linux/membarrier.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <chrono>
#include <thread>

namespace calque {

namespace {

/// Waits politely: the other side may be running a plan.
template <class Condition>
void wait_while(Condition condition) {
  for (int round = 0; condition(); ++round) {
    if (round < 100)
      sched_yield();
    else
      std::this_thread::sleep_for(std::chrono::microseconds(50));
  }
}

}  // namespace

/// Done when the library is loaded: a process with more threads than one waits for all processors of the machine here, which takes
/// some ten milliseconds.
const bool OwnerLock::is_registered_ = [] {
  const bool works = syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0) == 0;
  others_fence_for_us_.store(works, std::memory_order_relaxed);
  return works;
}();

void OwnerLock::lock() {
  wait_while([&] { return wanted_.exchange(true, std::memory_order_seq_cst); });
  if (others_fence_for_us_.load(std::memory_order_relaxed))
    syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0);
  wait_while([&] { return inside_.load(std::memory_order_acquire); });
}

void OwnerLock::wait_outside() {
  do {
    inside_.store(false, std::memory_order_release);
    wait_while([&] { return wanted_.load(std::memory_order_acquire); });
    inside_.exchange(true, std::memory_order_seq_cst);
  } while (wanted_.load(std::memory_order_acquire));
}

}  // namespace calque
