// Many threads and compiled functions: first calls at once, shared and separate functions, writers beside
// readers, more threads than cores, fork.
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <barrier>
#include <thread>

#include "calque/calque.h"
#include "tests/run/match_harness.h"
#include "tests/support/threads.h"

using namespace calque;

namespace {

constexpr int kThreads = 16;

/// Runs `body(thread)` in 16 threads that start together; gives how many results of it were wrong.
template <class Body>
int wrong_in_threads(Body body) {
  std::atomic<int> wrong = 0;
  std::barrier start(kThreads);
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t)
    threads.emplace_back([&, t] {
      start.arrive_and_wait();
      wrong += body(t);
    });
  for (std::thread& thread : threads) thread.join();
  return wrong;
}

Tensor cell(const Tensor& x, const Tensor& w) { return layer_norm(tanh(matmul(x, w)) + x); }

/// Calls forward and backward and compares with plain execution.
template <class Function>
int wrong_calls(Function& function, int thread, int calls) {
  int wrong = 0;
  for (int call = 0; call < calls; ++call) {
    const auto run = [&](auto&& f) -> Tensors {
      const Tensor x = numbers({6, 8}, 0.1 * call + thread).set_requires_grad(),
                   w = numbers({8, 8}, 0.3, 0.02).set_requires_grad();
      const Tensor y = f(x, w);
      sum(y * numbers({6, 8})).backward();
      return {y, x.grad(), w.grad()};
    };
    const Tensors ours = run(function), expected = run(cell);
    for (size_t i = 0; i < ours.size(); ++i) wrong += !same_bits(ours[i], expected[i]);
  }
  return wrong;
}

/// ThreadSanitizer does not support starting threads after a fork of a process that has several.
bool can_fork() {
#if defined(__SANITIZE_THREAD__)
  WARN("SKIP: no threads after fork under ThreadSanitizer");
  return false;
#else
  return true;
#endif
}

/// Exit code of a child process that runs `body`; -1 when it does not end in time.
template <class Body>
int in_child(Body body) {
  const pid_t child = fork();
  if (child == 0) _exit(body());
  for (int i = 0; i < 3000; ++i) {
    int status = 0;
    if (waitpid(child, &status, WNOHANG) == child) return WIFEXITED(status) ? WEXITSTATUS(status) : -2;
    usleep(10'000);
  }
  kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
  return -1;
}

}  // namespace

TEST_CASE("threads: 16 call the same function for the first time at once") {
  for (const WhenBusy when_busy : {WhenBusy::eager, WhenBusy::wait}) {
    auto compiled = compile(cell, {.when_busy = when_busy});
    CHECK(wrong_in_threads([&](int thread) { return wrong_calls(compiled, thread, 20); }) == 0);
    const CompileStats stats = compiled.stats();
    CHECK(stats.calls + stats.eager_calls == kThreads * 20);
    CHECK_COMPILED(stats.plan_runs > 0);
  }
}

TEST_CASE("threads: 16 call a pure function for the first time at once") {
  auto compiled = compile(pure, cell);
  CHECK(wrong_in_threads([&](int thread) { return wrong_calls(compiled, thread, 30); }) == 0);
}

TEST_CASE("threads: 16 compile functions of their own at once") {
  CHECK(wrong_in_threads([](int thread) {
          auto compiled = compile([thread](const Tensor& x, const Tensor& w) {
            const Tensor y = cell(x, w);
            return thread % 2 ? y : y * 1.0;
          });
          return wrong_calls(compiled, thread, 10);
        }) == 0);
}

TEST_CASE("threads: each of 16 writes its own tensors in place while all read a shared one") {
  const Tensor shared = numbers({8, 8}, 0.2, 0.01);
  CHECK(wrong_in_threads([&](int thread) {
          Tensor ours = numbers({8, 8}, thread), expected = numbers({8, 8}, thread);
          auto step = compile([&](Tensor& state) {
            const Tensor y = tanh(matmul(state, shared));
            state.assign_(y + state * 0.5);
            return y;
          });
          int wrong = 0;
          for (int i = 0; i < 30; ++i) {
            const Tensor y = step(ours), z = tanh(matmul(expected, shared));
            expected.assign_(z + expected * 0.5);
            wrong += !same_bits(y, z) || !same_bits(ours, expected);
          }
          return wrong;
        }) == 0);
}

TEST_CASE("threads: values of a call are used, written and dropped by another thread while it goes on") {
  auto compiled = compile([](const Tensor& x) {
    Tensor y = x * 2.0;
    Tensor given = y + 1.0, answer;
    std::thread other([&answer, given]() mutable {
      for (int i = 0; i < 5; ++i) answer = tanh(given) + static_cast<double>(i);
      given = Tensor();
    });
    given = Tensor();
    for (int i = 0; i < 10; ++i) y = y * 0.5 + x;
    other.join();
    return y + answer;
  });
  for (int call = 0; call < 100; ++call) {
    const Tensor x = numbers({32}, 0.1 * call);
    Tensor y = x * 2.0;
    const Tensor answer = tanh(y + 1.0) + 4.0;
    for (int i = 0; i < 10; ++i) y = y * 0.5 + x;
    CHECK(same_bits(compiled(x), y + answer));
  }
}

TEST_CASE("threads: more for each plan than there are cores, and many callers besides") {
  const test::Threads threads(kThreads);
  auto compiled = compile([](const Tensor& x) { return layer_norm(tanh(x) * x) + sum(x, {0}); });
  const auto plain = [](const Tensor& x) { return layer_norm(tanh(x) * x) + sum(x, {0}); };
  CHECK(wrong_in_threads([&](int thread) {
          int wrong = 0;
          for (int call = 0; call < 5; ++call) {
            const Tensor x = numbers({64, 700}, 0.1 * call + thread);
            wrong += !same_bits(compiled(x), plain(x));
          }
          return wrong;
        }) == 0);
}

TEST_CASE("threads: a child process after fork goes on with functions and tensors") {
  if (!can_fork()) return;
  auto compiled = compile([](const Tensor& x) { return sum(tanh(x) * x + 1.0, {0}); });
  Tensor state = numbers({300, 200});
  for (int call = 0; call < 4; ++call) compiled(state);
  const Tensor expected = compiled(state);
  CHECK(in_child([&] {
          if (!same_bits(compiled(state), expected)) return 1;
          auto fresh = compile([](const Tensor& x) { return exp(x) - 2.0; });
          for (int call = 0; call < 3; ++call)
            if (!same_bits(fresh(state), exp(state) - 2.0)) return 2;
          state.assign_(state * 0.5);
          return same_bits(compiled(state), sum(tanh(state) * state + 1.0, {0})) ? 0 : 3;
        }) == 0);
  CHECK(same_bits(compiled(state), expected));
}

TEST_CASE("threads: a child that was forked while another thread was inside a compiled function") {
  if (!can_fork()) return;
  std::atomic<int> turn = 0;
  Tensor shared = numbers({4, 9});
  auto compiled = compile([&](const Tensor& x) {
    const Tensor y = x * 2.0 + shared;
    if (turn == 1) {
      turn = 2;
      while (turn == 2) std::this_thread::yield();
    }
    return y + 1.0;
  });
  for (int call = 0; call < 3; ++call) compiled(numbers({4, 9}));
  turn = 1;
  Tensor result;
  std::thread inside([&] { result = compiled(numbers({4, 9})); });
  while (turn != 2) std::this_thread::yield();
  const int code = in_child([&] {
    shared.assign_(shared * 3.0);  // which the call in the parent still has to read
    auto other = compile([](const Tensor& x) { return x * 4.0; });
    for (int call = 0; call < 3; ++call)
      if (!same_bits(other(shared), numbers({4, 9}) * 3.0 * 4.0)) return 1;
    return 0;
  });
  turn = 3;
  inside.join();
  CHECK(code == 0);
  CHECK(same_bits(result, numbers({4, 9}) * 2.0 + numbers({4, 9}) + 1.0));
}
