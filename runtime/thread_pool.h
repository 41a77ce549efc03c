// The process's one pool of threads: runs a callable on several threads at once, with a fast barrier between
// them.
#pragma once

#include <atomic>
#include <cstdint>

#include "runtime/function_ref.h"

namespace calque {

namespace detail {
struct TeamState;
struct PoolState;
}  // namespace detail

// In which order things that are numbered are done.
enum class Order : uint8_t { ascending, descending };

// What a callable knows about the threads that run it together.
//
// A callable that uses barrier() must not let an exception out on any member: the others would wait for it
// for ever, so the process is terminated with a message instead.
struct Team {
  int rank = 0;  // 0 is the thread that called run()
  int size = 1;
  // Returns once every member has called it; what members wrote before is visible to all after.
  // Spins for 50 to 100 us, then sleeps, so that a busy machine costs little more than its own load.
  void barrier() {
    if (size > 1) pass_barrier();
  }
  // The two halves of a barrier. Between them a member may read what it made itself, and what was there before the barrier
  // before this one.
  void arrive() {
    if (size > 1) say_arrived();
  }
  void wait() {
    if (size > 1) wait_for_arrived();
  }

  // Calls f(chunk) for each chunk from 0 on, once each, on whichever member is free for it. A member begins with the same chunks
  // each time, in the order asked for, and helps others when it has done its own: cores seldom run equally fast for long.
  // Every member calls it, with the same number of chunks (less than 2^24) and the same order. A barrier must follow before
  // anybody reads what another member made.
  void share(int64_t chunks, Order order, FunctionRef<void(int64_t chunk)> f);

  Team() = default;
  Team(int rank, int size, detail::TeamState* state) : rank(rank), size(size), state_(state) {}

 private:
  void pass_barrier();
  void say_arrived();
  void wait_for_arrived();
  void wait_for_others(uint32_t before);
  detail::TeamState* state_ = nullptr;
  uint32_t shares_ = 0;  // calls of share() so far: the same on all members
};

// One pool for the process; its threads are started when first needed and live until the process ends.
//
// Every member, the caller included, runs in the default floating-point mode (round to nearest, subnormals
// kept, exceptions masked); the caller's own mode is restored afterwards.
class ThreadPool {
 public:
  static constexpr int kMaxThreads = 256;

  static ThreadPool& instance();

  // Calls `f` on `threads` threads at once (clamped to [1, kMaxThreads]); the caller is member 0.
  //
  // The team may be smaller than asked for, so `f` reads team.size: a call from inside a member, and a call
  // made while another user thread has the pool, run inline with size 1. run(1, f) is a plain call without
  // atomics. If `f` throws, the exception of the lowest rank is rethrown here after all members have finished
  // (but see Team for barriers). Throws EnvironmentError when a thread cannot be started. After fork() the
  // child starts a fresh set of threads at its first run(); forking from inside a member and returning from
  // it is not supported.
  void run(int threads, FunctionRef<void(Team&)> f);

  // The size that parallel_for and the kernels use at most: CALQUE_NUM_THREADS, else the cores this process may run
  // on.
  int num_threads() const { return num_threads_.load(std::memory_order_relaxed); }
  // Clamped to [1, kMaxThreads].
  void set_num_threads(int threads);
  // As many, or 1 for a while when a team's members had to wait for processors that others use (see crowd_watch.h).
  int team_size();

  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

 private:
  ThreadPool();
  detail::PoolState& state();
  static void forget_threads_after_fork();

  std::atomic<int> num_threads_;
  std::atomic<detail::PoolState*> state_{nullptr};
};

// Calls f(begin, end) on contiguous ranges that cover [0, n), one for each thread at most. Borders are
// multiples of `grain` (at least 1), the least that is worth a thread; the ranges depend on n, grain and the
// team's size only.
void parallel_for(int64_t n, int64_t grain, FunctionRef<void(int64_t begin, int64_t end)> f);

}  // namespace calque
