// The thread pool: one mailbox for each worker, a sense-reversing barrier, waits that spin before they sleep, and chunks of
// work that members take from each other.
#include "runtime/thread_pool.h"

#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <x86intrin.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "ir/op/error.h"
#include "runtime/crowd_watch.h"
#include "runtime/log.h"
#include "runtime/processors.h"
#include "runtime/try_lock.h"

namespace calque {
namespace {

// 50 to 100 us on time-stamp counters of 2 to 4 GHz. A shorter spin sleeps on an idle machine between the
// steps of a recurrent network; a pure spin is a thousand times slower when another process wants the core.
constexpr uint64_t kSpinTicks = 200'000;
// A team larger than the machine cannot gain by spinning: its members wait for each other's cores.
constexpr uint64_t kCrowdedSpinTicks = 2'000;
constexpr unsigned kDefaultFloatMode = 0x1F80;  // MXCSR: all exceptions masked, nearest, subnormals kept

// A 32-bit word that threads wait on: it spins first, and the waker makes a system call only if somebody
// sleeps.
struct alignas(64) WaitWord {
  std::atomic<uint32_t> value{0};
  std::atomic<uint32_t> sleepers{0};

  // Returns when the word is no longer `old`; sleeps after `spin` ticks. Gives how many it waited, if it slept.
  uint64_t wait_while(uint32_t old, uint64_t spin) {
    if (changes_within_pauses(old)) return 0;
    const uint64_t start = __rdtsc();
    do {
      if (__rdtsc() - start > spin) {
        sleep_while(old);
        return __rdtsc() - start;
      }
    } while (!changes_within_pauses(old));
    return 0;
  }

  // The store and the look at `sleepers` are both sequentially consistent, as are a sleeper's two steps:
  // either the waker sees the sleeper or the sleeper sees the new value.
  void set(uint32_t fresh) {
    value.store(fresh, std::memory_order_seq_cst);
    if (sleepers.load(std::memory_order_seq_cst) != 0) futex(FUTEX_WAKE_PRIVATE, INT32_MAX);
  }
  // The same in two halves, of which the first waits for nothing. Both sides change `sleepers`, one after the other: the second
  // half sees a sleeper that was first, and one that comes later sees the new value.
  void set_for_spinners(uint32_t fresh) { value.store(fresh, std::memory_order_release); }
  void wake_sleepers() {
    if (sleepers.fetch_add(0, std::memory_order_seq_cst) != 0) futex(FUTEX_WAKE_PRIVATE, INT32_MAX);
  }

 private:
  // Reading the clock takes as long as a pause: a member that waits shortly would see the change that much later.
  bool changes_within_pauses(uint32_t old) const {
    constexpr int kPauses = 16;  // of 10 to 40 ns
    for (int i = 0; i < kPauses; ++i) {
      if (value.load(std::memory_order_acquire) != old) return true;
      _mm_pause();
    }
    return false;
  }

  void sleep_while(uint32_t old) {
    sleepers.fetch_add(1, std::memory_order_seq_cst);
    while (value.load(std::memory_order_seq_cst) == old) futex(FUTEX_WAIT_PRIVATE, old);
    sleepers.fetch_sub(1, std::memory_order_relaxed);
  }

  void futex(int operation, uint32_t argument) {
    static_assert(sizeof value == sizeof(uint32_t));
    syscall(SYS_futex, reinterpret_cast<uint32_t*>(&value), operation, argument, nullptr, nullptr, 0);
  }
};

// True while this thread is a member of some team: a nested run() is then a plain call.
thread_local bool inside_member = false;

// Marks the thread as a member and puts it into the default floating-point mode, for one scope.
class MemberScope {
 public:
  MemberScope() : was_inside_(inside_member), float_mode_(_mm_getcsr()) {
    inside_member = true;
    if (float_mode_ != kDefaultFloatMode) _mm_setcsr(kDefaultFloatMode);
  }
  ~MemberScope() {
    inside_member = was_inside_;
    if (float_mode_ != kDefaultFloatMode) _mm_setcsr(float_mode_);
  }
  MemberScope(const MemberScope&) = delete;
  MemberScope& operator=(const MemberScope&) = delete;

 private:
  bool was_inside_;
  unsigned float_mode_;
};

[[noreturn]] void terminate_for_exception_across_barrier() {
  std::fputs(
      "calque: internal error: a callable that uses Team::barrier() threw an exception; please report\n",
      stderr);
  std::terminate();
}

int initial_num_threads() {
  const char* text = std::getenv("CALQUE_NUM_THREADS");
  if (text == nullptr || *text == '\0') return std::min(allowed_processors(), ThreadPool::kMaxThreads);
  char* end = nullptr;
  const long threads = std::strtol(text, &end, 10);
  if (*end == '\0' && threads >= 1 && threads <= ThreadPool::kMaxThreads) return static_cast<int>(threads);
  const int cores = std::min(allowed_processors(), ThreadPool::kMaxThreads);
  warn(std::string("CALQUE_NUM_THREADS=") + text + " is not a number from 1 to " +
       std::to_string(ThreadPool::kMaxThreads) + "; using " + std::to_string(cores));
  return cores;
}

}  // namespace

namespace detail {

// What a member has left of its chunks: the first at the front, which it takes itself, the last at the back, for others. All
// in one word, with the number of the share() that they belong to: another one's chunks are none of ours.
class alignas(64) ChunksLeft {
 public:
  void fill(uint32_t share, int64_t count) {
    word_.store(uint64_t{share & kTag} << 2 * kBits | static_cast<uint64_t>(count), std::memory_order_relaxed);
  }
  // Each gives the position of a chunk, -1 where none is left. What chunks read lies behind a barrier that all members have
  // passed: no order of memory is needed here.
  int64_t take_first(uint32_t share) { return take(share, uint64_t{1} << kBits, 0); }
  int64_t take_last(uint32_t share) { return take(share, 0, 1); }

 private:
  static constexpr int kBits = 24;
  static constexpr uint64_t kMask = (uint64_t{1} << kBits) - 1;
  static constexpr uint32_t kTag = 0xFFFF;

  int64_t take(uint32_t share, uint64_t from_front, uint64_t from_back) {
    uint64_t word = word_.load(std::memory_order_relaxed);
    for (;;) {
      const uint64_t first = word >> kBits & kMask, end = word & kMask;
      if (word >> 2 * kBits != (share & kTag) || first >= end) return -1;
      if (word_.compare_exchange_weak(word, word + from_front - from_back, std::memory_order_relaxed))
        return static_cast<int64_t>(from_front != 0 ? first : end - 1);
    }
  }

  std::atomic<uint64_t> word_{0};  // tag, first, end
};

// What the members of the running team share.
struct TeamState {
  std::array<ChunksLeft, ThreadPool::kMaxThreads> chunks;  // by rank
  int size = 0;                // set before the members start, as is the next
  uint64_t spin = kSpinTicks;
  std::array<WaitWord, ThreadPool::kMaxThreads> reached;  // by rank: the barriers of this run that the member came to
  struct alignas(64) Times {
    uint64_t began = 0;
    uint64_t slept = 0;  // ticks while it waited for others
    std::atomic<int> processor{-1};  // where it was when it began, or last woke up
  };
  std::array<Times, ThreadPool::kMaxThreads> times;  // by rank
  alignas(64) std::atomic<bool> failed{false};  // a member threw
  std::atomic<bool> used_barrier{false};

  void begin(int rank) {
    times[rank].began = __rdtsc();
    times[rank].slept = 0;
    times[rank].processor.store(sched_getcpu(), std::memory_order_relaxed);
  }
  void note_sleep(int rank, uint64_t waited, uint64_t other_began) {
    if (waited == 0) return;
    times[rank].slept += CrowdWatch::sleep_in_crowd(waited, __rdtsc(), other_began);
    part_from_others(rank);
  }
  void part_from_others(int rank);
  void fail() {
    failed.store(true, std::memory_order_seq_cst);
    if (used_barrier.load(std::memory_order_seq_cst)) terminate_for_exception_across_barrier();
  }
};

// Of a member that slept: the kernel often wakes it where its waker runs and leaves it there for as long as both sleep now and
// then, while each spins for as long as it may before the other gets to work. The caller's thread is not ours to move.
void TeamState::part_from_others(int rank) {
  const int processor = sched_getcpu();
  const auto is_at = [&](int here) { times[rank].processor.store(here, std::memory_order_relaxed); };
  is_at(processor);
  if (rank == 0 || spin == kCrowdedSpinTicks) return;
  std::array<int, ThreadPool::kMaxThreads> taken;
  int others = 0;
  for (int other = 0; other < size; ++other)
    if (other != rank) taken[others++] = times[other].processor.load(std::memory_order_relaxed);
  const auto end = taken.begin() + others;
  if (std::find(taken.begin(), end, processor) == end) return;
  leave_processors({taken.begin(), end});
  is_at(sched_getcpu());
}

struct Worker {
  WaitWord ticket;  // counts the jobs given to this worker
  int rank = 0;
};

struct PoolState {
  TryLock busy;  // held by the caller whose job runs
  TeamState team;
  const int cores = allowed_processors();
  const FunctionRef<void(Team&)>* job = nullptr;
  CrowdWatch crowd;
  WaitWord finished;  // counts the jobs all of whose workers are done
  alignas(64) std::atomic<int> running{0};
  std::array<std::exception_ptr, ThreadPool::kMaxThreads> exceptions;
  std::array<std::unique_ptr<Worker>, ThreadPool::kMaxThreads> workers;  // by rank; rank 0 is the caller
  int started = 1;

  void start_workers(int threads);
  void work(Worker& worker);
  void run_member(int rank);
  void run(int threads, const FunctionRef<void(Team&)>& f);
  void note_crowd(uint64_t start);
  void rethrow_first();
};

void PoolState::run_member(int rank) {
  MemberScope scope;
  team.begin(rank);
  Team member(rank, team.size, &team);
  try {
    (*job)(member);
  } catch (...) {
    exceptions[rank] = std::current_exception();
    team.fail();
  }
}

void PoolState::work(Worker& worker) {
  uint64_t spin = 0;
  for (uint32_t seen = 0;; ++seen) {
    if (worker.ticket.wait_while(seen, spin) != 0) team.part_from_others(worker.rank);
    run_member(worker.rank);
    spin = team.spin;
    if (running.fetch_sub(1, std::memory_order_acq_rel) == 1) {
      finished.set(finished.value.load(std::memory_order_relaxed) + 1);
    }
  }
}

void PoolState::start_workers(int threads) {
  if (started >= threads) return;
  // Signals belong to the user's threads: workers are started with all of them blocked.
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  try {
    for (; started < threads; ++started) {
      auto worker = std::make_unique<Worker>();
      worker->rank = started;
      std::thread([this, w = worker.get(), starter = sched_getcpu()] {
        leave_processors({&starter, 1});  // there it would stay for some milliseconds
        work(*w);
      }).detach();
      workers[started] = std::move(worker);
    }
  } catch (const std::exception& error) {
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    throw EnvironmentError(std::string("a thread of the pool cannot be started: ") + error.what() +
                           "; set CALQUE_NUM_THREADS to fewer");
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

void PoolState::run(int threads, const FunctionRef<void(Team&)>& f) {
  start_workers(threads);
  job = &f;
  team.size = threads;
  team.spin = threads > cores ? kCrowdedSpinTicks : kSpinTicks;
  team.failed.store(false, std::memory_order_relaxed);
  team.used_barrier.store(false, std::memory_order_relaxed);
  for (int rank = 0; rank < threads; ++rank) team.reached[rank].value.store(0, std::memory_order_relaxed);
  running.store(threads - 1, std::memory_order_relaxed);
  team.times[0].processor.store(sched_getcpu(), std::memory_order_relaxed);
  const uint64_t start = __rdtsc();
  const uint32_t before = finished.value.load(std::memory_order_relaxed);
  for (int rank = 1; rank < threads; ++rank) {
    WaitWord& ticket = workers[rank]->ticket;
    ticket.set(ticket.value.load(std::memory_order_relaxed) + 1);
  }
  run_member(0);
  const uint64_t waited = finished.wait_while(before, team.spin);
  uint64_t last_began = 0;
  for (int rank = 1; rank < threads; ++rank) last_began = std::max(last_began, team.times[rank].began);
  team.note_sleep(0, waited, last_began);
  note_crowd(start);
  if (team.failed.load(std::memory_order_relaxed)) rethrow_first();
}

void PoolState::note_crowd(uint64_t start) {
  uint64_t longest = 0;
  for (int rank = 0; rank < team.size; ++rank) longest = std::max(longest, team.times[rank].slept);
  const uint64_t now = __rdtsc();
  crowd.note(team.size, now - start, longest, now);
}

void PoolState::rethrow_first() {
  for (ChunksLeft& left : team.chunks) left.fill(0, 0);  // who threw left some that nobody may take in the next run
  std::exception_ptr first;
  for (int rank = team.size; rank-- > 0;) {
    if (exceptions[rank]) first = std::move(exceptions[rank]);
    exceptions[rank] = nullptr;
  }
  std::rethrow_exception(first);
}

}  // namespace detail

// Each side first says what it does, then looks at what the other does, so at least one of them sees the clash.
static void note_barrier(detail::TeamState& team) {
  if (!team.used_barrier.load(std::memory_order_relaxed)) team.used_barrier.store(true, std::memory_order_seq_cst);
  if (team.failed.load(std::memory_order_seq_cst)) terminate_for_exception_across_barrier();
}

// Each member tells all others and looks at all others: a word that one writes and one reads travels once, where a count that all
// change travels to each of them first.
void Team::pass_barrier() {
  note_barrier(*state_);
  WaitWord& mine = state_->reached[rank];
  const uint32_t before = mine.value.load(std::memory_order_relaxed);
  mine.set(before + 1);
  wait_for_others(before);
}

void Team::say_arrived() {
  note_barrier(*state_);
  WaitWord& mine = state_->reached[rank];
  mine.set_for_spinners(mine.value.load(std::memory_order_relaxed) + 1);
}

void Team::wait_for_arrived() {
  WaitWord& mine = state_->reached[rank];
  mine.wake_sleepers();
  wait_for_others(mine.value.load(std::memory_order_relaxed) - 1);
}

void Team::wait_for_others(uint32_t before) {
  detail::TeamState& team = *state_;
  for (int i = 1; i < size; ++i) {
    const int other = (rank + i) % size;
    const uint64_t waited = team.reached[other].wait_while(before, team.spin);
    team.note_sleep(rank, waited, team.times[other].began);
  }
}

void Team::share(int64_t chunks, Order order, FunctionRef<void(int64_t)> f) {
  const auto run = [&](int owner, int64_t position) {
    const int64_t first = chunks * owner / size, end = chunks * (owner + 1) / size;
    f(order == Order::ascending ? first + position : end - 1 - position);
  };
  if (size == 1) {
    for (int64_t i = 0; i < chunks; ++i) run(0, i);
    return;
  }
  if (chunks <= size) {  // one for each: there is nothing to take from others
    if (rank < chunks) f(rank);
    return;
  }
  ++shares_;
  std::array<detail::ChunksLeft, ThreadPool::kMaxThreads>& left = state_->chunks;
  left[rank].fill(shares_, chunks * (rank + 1) / size - chunks * rank / size);
  for (int64_t mine; (mine = left[rank].take_first(shares_)) >= 0;) run(rank, mine);
  constexpr int kMostHelped = 8;  // to ask all of a large team takes longer than a small step
  for (int i = 1; i < std::min(size, 1 + kMostHelped); ++i) {
    const int other = (rank + i) % size;
    for (int64_t theirs; (theirs = left[other].take_last(shares_)) >= 0;) run(other, theirs);
  }
}

ThreadPool::ThreadPool() : num_threads_(initial_num_threads()) {
  pthread_atfork(nullptr, nullptr, &ThreadPool::forget_threads_after_fork);
}

ThreadPool& ThreadPool::instance() {
  static ThreadPool* pool = new ThreadPool;  // never destroyed: its threads outlive static destructors
  return *pool;
}

// Only the forking thread exists in the child. The parent's state is abandoned, not freed: its lock may be
// held.
void ThreadPool::forget_threads_after_fork() { instance().state_.store(nullptr, std::memory_order_relaxed); }

detail::PoolState& ThreadPool::state() {
  detail::PoolState* state = state_.load(std::memory_order_acquire);
  if (state != nullptr) return *state;
  auto fresh = std::make_unique<detail::PoolState>();
  if (state_.compare_exchange_strong(state, fresh.get(), std::memory_order_acq_rel)) state = fresh.release();
  return *state;
}

void ThreadPool::set_num_threads(int threads) {
  num_threads_.store(std::clamp(threads, 1, kMaxThreads), std::memory_order_relaxed);
}

int ThreadPool::team_size() {
  const int threads = num_threads();
  const detail::PoolState* state = state_.load(std::memory_order_acquire);
  return state != nullptr && state->crowd.advises_one_thread(__rdtsc()) ? 1 : threads;
}

void ThreadPool::run(int threads, FunctionRef<void(Team&)> f) {
  threads = std::clamp(threads, 1, kMaxThreads);
  if (threads > 1 && !inside_member) {
    detail::PoolState& pool = state();
    std::unique_lock<TryLock> lock(pool.busy, std::try_to_lock);
    if (lock.owns_lock()) return pool.run(threads, f);
  }
  MemberScope scope;
  Team alone;
  f(alone);
}

void parallel_for(int64_t n, int64_t grain, FunctionRef<void(int64_t, int64_t)> f) {
  if (n <= 0) return;
  grain = std::max<int64_t>(grain, 1);
  const int64_t grains = (n - 1) / grain + 1;
  ThreadPool& pool = ThreadPool::instance();
  const int threads = static_cast<int>(std::min<int64_t>(pool.team_size(), grains));
  pool.run(threads, [&](Team& team) {
    // The first grains % size members take one grain more.
    const int64_t share = grains / team.size, extra = grains % team.size;
    const int64_t first = share * team.rank + std::min<int64_t>(team.rank, extra);
    const int64_t last = first + share + (team.rank < extra ? 1 : 0);
    if (first < last) f(first * grain, last == grains ? n : last * grain);
  });
}

}  // namespace calque
