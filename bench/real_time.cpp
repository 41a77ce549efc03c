// One step of an LSTM (1,64,64) as a real-time program calls it, a million times: how late the latest calls are, and that a call
// allocates nothing, takes no lock and makes no system call.
//
// The function is pure, without audits; each step takes the state that the one before gave. With --serve it answers each
// line `run N` by `us T1 T2 ...`, for bench/real_time.py, which runs it beside ONNX Runtime.
#include <dlfcn.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <iostream>

#include "bench/allocations.h"
#include "bench/measure.h"
#include "calque/calque.h"
#include "cli/cells.h"

using namespace calque;
using namespace calque::bench;

namespace {

thread_local uint64_t locks = 0;
volatile sig_atomic_t system_calls = 0;

}  // namespace

#ifdef COUNTS_ALLOCATIONS
constexpr bool kCanCount = true;
// Each counts, then does what it always does: calls from anywhere in the process come here, those that only try included.
#define COUNTED(name, Lock)                                                       \
  extern "C" int name(Lock* lock) {                                               \
    static const auto original = reinterpret_cast<int (*)(Lock*)>(dlsym(RTLD_NEXT, #name)); \
    ++locks;                                                                      \
    return original(lock);                                                        \
  }
COUNTED(pthread_mutex_lock, pthread_mutex_t)
COUNTED(pthread_mutex_trylock, pthread_mutex_t)
COUNTED(pthread_rwlock_rdlock, pthread_rwlock_t)
COUNTED(pthread_rwlock_wrlock, pthread_rwlock_t)
COUNTED(pthread_rwlock_tryrdlock, pthread_rwlock_t)
COUNTED(pthread_rwlock_trywrlock, pthread_rwlock_t)
#undef COUNTED
#else
constexpr bool kCanCount = false;  // sanitizers have functions of their own
#endif

namespace {

class Step {
 public:
  /// Warm: recorded, compiled, and known by its key.
  Step() {
    for (int i = 0; i < 1000; ++i) (*this)();
  }
  /// Runs one step; each call begins with the state that the last one gave.
  void operator()() { state_ = step_(x_, state_.h, state_.c, weights_); }
  bool was_entered() const { return step_.stats().entered_calls + 3 >= step_.stats().calls; }
  std::vector<double> durations(size_t calls) {
    std::vector<double> us(calls);
    for (double& duration : us) {
      const double start = now_us();
      (*this)();
      duration = now_us() - start;
    }
    return us;
  }

 private:
  static constexpr int64_t kSize = 64;
  const NoGradGuard no_grad_;
  const cli::CellWeights weights_{kSize, kSize, 4, false};
  const Tensor x_ = nn::normal({1, kSize});
  cli::CellState state_{zeros({1, kSize}), zeros({1, kSize})};
  decltype(compile(pure, &cli::lstm, {})) step_ = compile(pure, &cli::lstm, {.name = "lstm", .audits = false});
};

struct Counts {
  uint64_t calls = 0, mallocs = 0, locks = 0, system_calls = 0;
};

/// From now on this process can write and end; every other system call is counted, and fails.
bool count_system_calls() {
  struct sigaction action{};
  action.sa_handler = [](int) { system_calls = system_calls + 1; };
  action.sa_flags = SA_NODEFER;
  sigaction(SIGSYS, &action, nullptr);
  const auto allow = [](uint32_t number) {
    return std::array<sock_filter, 2>{sock_filter BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 1),
                                      sock_filter BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
  };
  std::vector<sock_filter> filter = {BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr))};
  for (const uint32_t number : {SYS_write, SYS_exit_group, SYS_rt_sigreturn}) {
    const auto rule = allow(number);
    filter.insert(filter.end(), rule.begin(), rule.end());
  }
  filter.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP));
  const sock_fprog program{static_cast<unsigned short>(filter.size()), filter.data()};
  return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

/// In a process of its own, which is of no other use afterwards. No calls where they cannot be counted.
Counts count_in_child(uint64_t calls) {
  int ends[2];
  if (pipe(ends) != 0) return {};
  const pid_t child = fork();
  if (child == 0) {
    Step step;
    Counts counts;
    if (count_system_calls()) {
      const uint64_t mallocs = allocations, locks_before = locks;
      for (uint64_t i = 0; i < calls; ++i) step();
      counts = {calls, allocations - mallocs, locks - locks_before, static_cast<uint64_t>(system_calls)};
    }
    _exit(write(ends[1], &counts, sizeof counts) == sizeof counts ? 0 : 1);
  }
  close(ends[1]);
  Counts counts;
  if (read(ends[0], &counts, sizeof counts) != sizeof counts) counts = {};
  close(ends[0]);
  waitpid(child, nullptr, 0);
  return counts;
}

Row latencies(Report& report, size_t calls) {
  Step step;
  std::vector<double> us = step.durations(calls);
  report.require(step.was_entered(), "the step was not entered");
  std::sort(us.begin(), us.end());
  const auto quantile = [&](double part) { return us[static_cast<size_t>(part * static_cast<double>(us.size() - 1))]; };
  Row row{"lstm, one step", "1,64,64", "pure, no audits", quantile(0.5), us.front()};
  row.more = {{"p99.9", quantile(0.999)}, {"p99.99", quantile(0.9999)}, {"largest", us.back()}};
  return row;
}

int serve() {
  Step step;
  std::string word;
  for (size_t calls = 0; std::cin >> word >> calls && word == "run";) {
    fmt::print("us {:.3f}\n", fmt::join(step.durations(calls), " "));
    std::fflush(stdout);
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 2 && std::string_view(argv[1]) == "--serve") return serve();
  const Options options = read_options(argc, argv);
  Report report("real_time", options);
  const Counts counts = kCanCount ? count_in_child(options.quick ? 1000 : 1000000) : Counts{};
  Row row = latencies(report, options.quick ? 1000 : 1000000);
  if (counts.calls > 0) {
    row.more.emplace_back("mallocs", static_cast<double>(counts.mallocs));
    row.more.emplace_back("locks", static_cast<double>(counts.locks));
    row.more.emplace_back("system calls", static_cast<double>(counts.system_calls));
    report.require(counts.mallocs + counts.locks + counts.system_calls == 0,
                   fmt::format("{} calls made {} allocations, {} locks and {} system calls", counts.calls, counts.mallocs,
                               counts.locks, counts.system_calls));
  }
  report.add(row);
  return report.finish();
}
