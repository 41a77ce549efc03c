// A lock that one thread, its owner, takes all the time and other threads hardly ever.
//
// The owner says that it is inside, then looks whether another thread wants in; another thread says that it
// wants in, then looks whether the owner is inside. Between the two steps each side needs a full memory
// fence, else both could miss the other. Where the system can make all threads of the process pass a fence
// (Linux, membarrier(2)), the rare side does that for both, and entering costs the owner two plain stores and
// a load.
#pragma once

#include <atomic>

namespace calque {

class alignas(64) OwnerLock {
 public:
  /// Waits until the owner is outside, and keeps it there. By any other thread; not nested.
  void lock();
  void unlock() { wanted_.store(false, std::memory_order_release); }

  /// The owner is inside while one lives; may be nested.
  class Inside {
   public:
    explicit Inside(OwnerLock& lock) : lock_(lock), is_nested_(lock.inside_.load(std::memory_order_relaxed)) {
      if (!is_nested_) lock_.enter();
    }
    ~Inside() {
      if (!is_nested_) lock_.inside_.store(false, std::memory_order_release);
    }
    Inside(const Inside&) = delete;
    Inside& operator=(const Inside&) = delete;

   private:
    OwnerLock& lock_;
    const bool is_nested_;
  };

  /// In the child after fork(): nobody else is there who could hold it.
  void forget_others() { wanted_.store(false, std::memory_order_relaxed); }

 private:
  static const bool is_registered_;  // with the system, for fences in all threads; without, locks are only slower
  void enter() {
    if (others_fence_for_us_.load(std::memory_order_relaxed)) {
      inside_.store(true, std::memory_order_relaxed);
      std::atomic_signal_fence(std::memory_order_seq_cst);
    } else {
      inside_.exchange(true, std::memory_order_seq_cst);
    }
    if (wanted_.load(std::memory_order_acquire)) [[unlikely]]
      wait_outside();
  }
  void wait_outside();

  static inline std::atomic<bool> others_fence_for_us_{false};
  std::atomic<bool> inside_{false};  // only the owner writes it
  std::atomic<bool> wanted_{false};
};

}  // namespace calque
