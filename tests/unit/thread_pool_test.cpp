// The thread pool: teams, barriers, nesting, concurrent callers, exceptions, floating-point mode and fork.
#include "runtime/thread_pool.h"

#include <immintrin.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <catch2/catch.hpp>
#include <chrono>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "runtime/function_ref.h"

namespace calque {
namespace {

#if defined(__SANITIZE_THREAD__)
constexpr bool kThreadSanitizer = true;  // it does not support starting threads after a multi-threaded fork
#else
constexpr bool kThreadSanitizer = false;
#endif

ThreadPool& pool() { return ThreadPool::instance(); }

int twice(int x) { return 2 * x; }

TEST_CASE("a FunctionRef calls lambdas, functors and const callables") {
  int offset = 5;
  auto add = [&](int x) { return x + offset; };
  const auto constant = [](int) { return 7; };
  FunctionRef<int(int)> f = add;
  CHECK(f(1) == 6);
  offset = 10;
  CHECK(f(1) == 11);
  f = constant;
  CHECK(f(1) == 7);
  auto* function = &twice;
  f = function;
  CHECK(f(4) == 8);
}

TEST_CASE("every rank runs exactly once, with the size asked for") {
  for (int threads = 1; threads <= 6; ++threads) {
    std::vector<std::atomic<int>> runs(threads);
    std::atomic<int> wrong_size{0};
    pool().run(threads, [&](Team& team) {
      if (team.size != threads) ++wrong_size;
      ++runs[team.rank];
    });
    CHECK(wrong_size == 0);
    for (auto& count : runs) CHECK(count == 1);
  }
}

TEST_CASE("the caller is member 0 and sizes are clamped") {
  const auto caller = std::this_thread::get_id();
  std::thread::id rank0;
  pool().run(3, [&](Team& team) {
    if (team.rank == 0) rank0 = std::this_thread::get_id();
  });
  CHECK(rank0 == caller);
  int size = 0;
  pool().run(-3, [&](Team& team) { size = team.size; });
  CHECK(size == 1);
}

TEST_CASE("each chunk is done once, in the order asked for, and chunks of one share are not taken in another") {
  for (int threads : {1, 2, 3, 5}) {
    std::vector<std::vector<std::atomic<int>>> done(200);
    for (size_t s = 0; s < done.size(); ++s) done[s] = std::vector<std::atomic<int>>(s % 41);
    std::atomic<int> out_of_order{0};
    pool().run(threads, [&](Team& team) {
      for (size_t s = 0; s < done.size(); ++s) {
        const Order order = s % 2 == 0 ? Order::ascending : Order::descending;
        int64_t last = -1;
        team.share(static_cast<int64_t>(done[s].size()), order, [&](int64_t chunk) {
          ++done[s][chunk];
          const bool is_next = last < 0 || (order == Order::ascending) == (chunk > last);
          if (team.size == 1 && !is_next) ++out_of_order;
          last = chunk;
        });
        if (s % 3 == 0) team.barrier();
      }
    });
    CHECK(out_of_order == 0);
    for (const auto& share : done)
      for (const std::atomic<int>& count : share) CHECK(count == 1);
  }
}

TEST_CASE("a member that is held up has its chunks done by others") {
  std::atomic<int> done{0};
  std::atomic<bool> has_begun{false};
  std::atomic<int> done_by_first{0};
  pool().run(2, [&](Team& team) {
    team.share(8, Order::ascending, [&](int64_t chunk) {
      if (chunk == 0) has_begun = true;
      while (!has_begun) std::this_thread::yield();
      ++done;
      if (team.rank == 0) ++done_by_first;
      // Rank 0 stays in its first chunk until rank 1 has done the rest.
      while (team.size == 2 && chunk == 0 && done < 8) std::this_thread::yield();
    });
    if (team.size == 1) done_by_first = 1;
  });
  CHECK(done == 8);
  CHECK(done_by_first == 1);
}

TEST_CASE("chunks that an exception left are not done in the next run") {
  for (int round = 0; round < 50; ++round) {
    CHECK_THROWS(pool().run(2, [&](Team& team) {
      team.share(1000, Order::ascending, [](int64_t) { throw std::runtime_error("on purpose"); });
    }));
    std::vector<std::atomic<int>> done(3);
    std::atomic<int> outside{0};
    pool().run(2, [&](Team& team) {
      team.share(3, Order::ascending, [&](int64_t chunk) { ++(chunk >= 0 && chunk < 3 ? done[chunk] : outside); });
    });
    CHECK(outside == 0);
    for (const std::atomic<int>& count : done) CHECK(count == 1);
  }
}

TEST_CASE("a barrier makes plain writes of all members visible") {
  for (int threads : {2, 3, 4}) {
    std::vector<int> values(threads, 0);
    std::atomic<int> errors{0};
    pool().run(threads, [&](Team& team) {
      for (int step = 1; step <= 300; ++step) {
        values[team.rank] = step * (team.rank + 1);
        team.barrier();
        for (int r = 0; r < team.size; ++r) {
          if (values[r] != step * (r + 1)) ++errors;
        }
        team.barrier();
      }
    });
    CHECK(errors == 0);
  }
}

TEST_CASE("between the halves of a barrier a member works on, and behind the second it sees what others wrote before the first") {
  for (int threads : {1, 2, 3}) {
    std::vector<int> values(threads, 0);
    std::atomic<int> errors{0};
    pool().run(threads, [&](Team& team) {
      for (int step = 1; step <= 300; ++step) {
        values[team.rank] = step * (team.rank + 1);
        if ((team.rank + step) % 2 == 0) {
          team.arrive();
          if (values[team.rank] != step * (team.rank + 1)) ++errors;
          if (step == 100) std::this_thread::sleep_for(std::chrono::milliseconds(2));  // others need not wait for the second half
          team.wait();
        } else {
          team.barrier();  // whole for some, in halves for others
        }
        for (int r = 0; r < team.size; ++r)
          if (values[r] != step * (r + 1)) ++errors;
        team.barrier();
      }
    });
    CHECK(errors == 0);
  }
}

TEST_CASE("who arrives and works on wakes those who fell asleep before") {
  std::atomic<int> done{0};
  pool().run(2, [&](Team& team) {
    for (int late = 0; late < 2; ++late) {
      if (team.rank == late) std::this_thread::sleep_for(std::chrono::milliseconds(5));  // far beyond the spin
      team.arrive();
      team.wait();
    }
    ++done;
  });
  CHECK(done == 2);
}

TEST_CASE("members that come late to a barrier find the others asleep and wake them") {
  for (int late = 0; late < 3; ++late) {
    int written = 0;
    std::atomic<int> seen{0};
    pool().run(3, [&](Team& team) {
      if (team.rank == late) {
        std::this_thread::sleep_for(std::chrono::milliseconds(5));  // far beyond the spin
        written = 42;
      }
      team.barrier();
      if (written == 42) ++seen;
    });
    CHECK(seen == 3);
  }
}

TEST_CASE("workers wake up after they have parked") {
  for (int i = 0; i < 5; ++i) {
    std::atomic<int> members{0};
    pool().run(3, [&](Team&) { ++members; });
    CHECK(members == 3);
    std::this_thread::sleep_for(std::chrono::milliseconds(3));
  }
}

TEST_CASE("a run inside a member is a plain call of size 1") {
  std::atomic<int> inner_runs{0}, wrong{0};
  pool().run(3, [&](Team&) {
    const auto self = std::this_thread::get_id();
    pool().run(4, [&](Team& inner) {
      ++inner_runs;
      if (inner.size != 1 || inner.rank != 0 || std::this_thread::get_id() != self) ++wrong;
      inner.barrier();  // of one member: returns at once
    });
  });
  CHECK(inner_runs == 3);
  CHECK(wrong == 0);
  int size_inside_run_of_one = 0;
  pool().run(1, [&](Team&) { pool().run(4, [&](Team& inner) { size_inside_run_of_one = inner.size; }); });
  CHECK(size_inside_run_of_one == 1);
}

TEST_CASE("several user threads may call at once") {
  std::atomic<int64_t> sum{0};
  std::vector<std::thread> callers;
  for (int c = 0; c < 4; ++c) {
    callers.emplace_back([&] {
      for (int i = 0; i < 200; ++i) {
        parallel_for(1000, 10, [&](int64_t begin, int64_t end) { sum += end - begin; });
      }
    });
  }
  for (auto& caller : callers) caller.join();
  CHECK(sum == 4 * 200 * 1000);
}

TEST_CASE("the exception of the lowest rank reaches the caller and the pool stays usable") {
  for (int thrower = 0; thrower < 3; ++thrower) {
    std::string message;
    std::atomic<int> others{0};
    try {
      pool().run(3, [&](Team& team) {
        if (team.rank >= thrower) throw std::runtime_error("rank " + std::to_string(team.rank));
        ++others;
      });
    } catch (const std::runtime_error& error) {
      message = error.what();
    }
    CHECK(message == "rank " + std::to_string(thrower));
    CHECK(others == thrower);
  }
  CHECK_THROWS_AS(pool().run(1, [](Team&) { throw std::logic_error("alone"); }), std::logic_error);
  std::atomic<int> members{0};
  pool().run(3, [&](Team& team) {
    team.barrier();
    ++members;
  });
  CHECK(members == 3);
}

TEST_CASE("every member runs in the default floating-point mode and the caller gets its own back") {
  const unsigned before = _mm_getcsr();
  const unsigned flush = before | 0x8040;  // FTZ and DAZ
  for (int threads : {1, 3}) {
    std::atomic<int> wrong{0};
    _mm_setcsr(flush);
    pool().run(threads, [&](Team&) {
      if ((_mm_getcsr() & 0xFFC0) != 0x1F80) ++wrong;
      _mm_setcsr(flush);  // a member that leaves a mess must not disturb the next job
    });
    CHECK((_mm_getcsr() & 0xFFC0) == (flush & 0xFFC0));
    _mm_setcsr(before);
    CHECK(wrong == 0);
  }
  std::atomic<int> wrong{0};
  pool().run(3, [&](Team&) {
    if ((_mm_getcsr() & 0xFFC0) != 0x1F80) ++wrong;
  });
  CHECK(wrong == 0);
}

TEST_CASE("parallel_for covers the range once, in whole grains") {
  const int threads_before = pool().num_threads();
  for (int threads : {1, 2, 4}) {
    pool().set_num_threads(threads);
    CHECK(pool().num_threads() == threads);
    for (int64_t n : {0, 1, 7, 64, 100, 1001}) {
      for (int64_t grain : {0, 1, 8, 64, 5000}) {
        std::vector<std::atomic<int>> hits(n);
        std::atomic<int> calls{0}, ragged{0};
        parallel_for(n, grain, [&](int64_t begin, int64_t end) {
          ++calls;
          if (grain > 0 && (begin % grain != 0 || (end % grain != 0 && end != n))) ++ragged;
          for (int64_t i = begin; i < end; ++i) ++hits[i];
        });
        int64_t covered_once = 0;
        for (auto& hit : hits) covered_once += hit == 1;
        CHECK(covered_once == n);
        CHECK(ragged == 0);
        CHECK(calls <= threads);
      }
    }
  }
  pool().set_num_threads(0);
  CHECK(pool().num_threads() == 1);
  pool().set_num_threads(threads_before);
}

// Runs `body` in a forked child; returns waitpid's status.
template <class F>
int status_of_child(F body) {
  const pid_t child = fork();
  if (child == 0) {
    alarm(20);  // a child that hangs must fail, not hang the test
    _exit(body());
  }
  int status = -1;
  waitpid(child, &status, 0);
  return status;
}

TEST_CASE("a forked child gets threads of its own") {
  if (kThreadSanitizer) return;
  pool().run(3, [](Team&) {});  // the parent has workers that the child will lack
  const int status = status_of_child([] {
    std::atomic<int> members{0};
    for (int i = 0; i < 10; ++i) {
      pool().run(3, [&](Team& team) {
        team.barrier();
        ++members;
      });
    }
    return members == 30 ? 17 : 1;
  });
  REQUIRE(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 17);
  std::atomic<int> members{0};
  pool().run(3, [&](Team&) { ++members; });
  CHECK(members == 3);
}

TEST_CASE("an exception beside a barrier ends the process instead of hanging it") {
  if (kThreadSanitizer) return;
  for (int thrower : {0, 1}) {
    const int status = status_of_child([&] {
      std::set_terminate([] { _exit(23); });
      (void)!freopen("/dev/null", "w", stderr);
      pool().run(2, [&](Team& team) {
        if (team.rank == thrower) throw std::runtime_error("never reaches the barrier");
        team.barrier();
      });
      return 1;
    });
    REQUIRE(WIFEXITED(status));
    CHECK(WEXITSTATUS(status) == 23);
  }
}

}  // namespace
}  // namespace calque
