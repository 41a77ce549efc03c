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
  /// By the owner; may be nested.
  void enter() {
    if (depth_++ != 0) return;
    if (others_fence_for_us_.load(std::memory_order_relaxed)) {
      inside_.store(true, std::memory_order_relaxed);
      std::atomic_signal_fence(std::memory_order_seq_cst);
    } else {
      inside_.exchange(true, std::memory_order_seq_cst);
    }
    if (wanted_.load(std::memory_order_acquire)) [[unlikely]]
      wait_outside();
  }
  void leave() {
    if (--depth_ == 0) inside_.store(false, std::memory_order_release);
  }

  /// By any other thread: waits until the owner is outside, and keeps it there. Not nested.
  void lock();
  void unlock() { wanted_.store(false, std::memory_order_release); }

  /// In the child after fork(): nobody else is there who could hold it.
  void forget_others() { wanted_.store(false, std::memory_order_relaxed); }

  /// The owner is inside while one lives.
  class Inside {
   public:
    explicit Inside(OwnerLock& lock) : lock_(lock) { lock_.enter(); }
    ~Inside() { lock_.leave(); }
    Inside(const Inside&) = delete;
    Inside& operator=(const Inside&) = delete;

   private:
    OwnerLock& lock_;
  };

  /// Asks the system for fences in all threads; to be called before a lock is used. Without, locks are only
  /// slower.
  static void register_process();

 private:
  void wait_outside();

  static inline std::atomic<bool> others_fence_for_us_{false};
  std::atomic<bool> inside_{false}, wanted_{false};
  int depth_ = 0;  // the owner's
};

}  // namespace calque
