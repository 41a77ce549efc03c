// A lock that is taken at once or not at all, by one atomic operation: nobody waits, and nothing goes through
// the system.
#pragma once

#include <atomic>

namespace calque {

/// For std::unique_lock with std::try_to_lock.
class TryLock {
 public:
  bool try_lock() { return !held_.test_and_set(std::memory_order_acquire); }
  void unlock() { held_.clear(std::memory_order_release); }

 private:
  std::atomic_flag held_;
};

}  // namespace calque
