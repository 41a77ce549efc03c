// Values of a running call in the hands of several other threads, which use them and let go of them at any moment. These
// are races on purpose: what they show, the thread sanitizer sees.
#include <atomic>
#include <mutex>
#include <thread>

#include "tests/run/match_harness.h"

using namespace calque;

namespace {

/// Threads that take tensors from one heap and do something with each, until it is empty and closed.
class Takers {
 public:
  template <class Use>
  Takers(int count, Use use) {
    for (int i = 0; i < count; ++i)
      threads_.emplace_back([this, use] {
        while (true) {
          Tensor taken;
          {
            const std::lock_guard lock(mutex_);
            if (!heap_.empty()) {
              taken = std::move(heap_.back());
              heap_.pop_back();
            } else if (closed_) {
              return;
            }
          }
          if (taken) use(taken);
          else std::this_thread::yield();
        }
      });
  }
  ~Takers() {
    {
      const std::lock_guard lock(mutex_);
      closed_ = true;
    }
    for (std::thread& thread : threads_) thread.join();
  }
  void give(Tensor tensor) {
    const std::lock_guard lock(mutex_);
    heap_.push_back(std::move(tensor));
  }

 private:
  std::mutex mutex_;
  std::vector<Tensor> heap_;
  bool closed_ = false;
  std::vector<std::thread> threads_;
};

/// tanh(y + 1) again and again; each step's value and a part of it go to `give`.
Tensor chain(const Tensor& x, const std::function<void(Tensor)>& give, int steps) {
  Tensor y = x;
  for (int i = 0; i < steps; ++i) {
    y = tanh(y + 1.0);
    give(y * 2.0);
    give(y);
    give(slice(y, 0, i, i + 1));
  }
  return y * 0.5;
}

constexpr int kChainSteps = 12, kChainCalls = 60;

}  // namespace

TEST_CASE("several threads let go of values while the call goes on, while it ends, and after") {
  Takers takers(3, [](Tensor& tensor) { tensor = Tensor(); });
  const auto function = [&](const Tensor& x) { return chain(x, [&](Tensor y) { takers.give(std::move(y)); }, kChainSteps); };
  const Tensor x = numbers({64}), expected = chain(x, [](const Tensor&) {}, kChainSteps);
  auto compiled = compile(function);
  for (int call = 0; call < kChainCalls; ++call) CHECK(same_bits(compiled(x), expected));
  CHECK(compiled.stats().recorded_calls == 1);
  CHECK_COMPILED(compiled.stats().plan_runs == kChainCalls - 1);
}

TEST_CASE("the last handle goes in whichever thread is last") {
  Takers takers(2, [](Tensor& tensor) {
    const Tensor copy = tensor;
    tensor = Tensor();
  });
  const auto function = [&](const Tensor& x) {
    Tensors mine;
    const Tensor y = chain(x, [&](Tensor value) {
      mine.push_back(value);
      takers.give(std::move(value));
    }, kChainSteps);
    return y;  // `mine` goes while the takers are at it
  };
  const Tensor x = numbers({64}), expected = chain(x, [](const Tensor&) {}, kChainSteps);
  auto compiled = compile(function);
  for (int call = 0; call < kChainCalls; ++call) CHECK(same_bits(compiled(x), expected));
}

TEST_CASE("other threads use values while the call computes them: the right elements, or one refusal") {
  const Tensor x = numbers({64});
  Tensors values;
  chain(x, [&](Tensor y) { values.push_back(std::move(y)); }, kChainSteps);
  std::atomic<int> wrong = 0, right = 0, refused = 0;
  {
    Takers takers(3, [&](Tensor& tensor) {
      try {
        const Tensor read = tensor.shape()[0] == 1 ? tensor * 1.0 : tensor;
        bool is_known = false;
        for (const Tensor& value : values) is_known |= value.shape() == read.shape() && same_bits(value, read);
        ++(is_known ? right : wrong);
      } catch (const UserError&) {
        ++refused;
      }
    });
    auto compiled = compile([&](const Tensor& in) { return chain(in, [&](Tensor y) { takers.give(std::move(y)); }, kChainSteps); });
    for (int call = 0; call < kChainCalls; ++call) compiled(x);
  }
  CHECK(wrong == 0);
  CHECK(right + refused == kChainCalls * kChainSteps * 3);
  CHECK(right >= kChainSteps * 3);  // those of the first call, at least
}

TEST_CASE("a call that throws leaves what other threads hold to them") {
  Takers takers(3, [](Tensor& tensor) { tensor = Tensor(); });
  auto compiled = compile([&](const Tensor& x) {
    const Tensor y = chain(x, [&](Tensor value) { takers.give(std::move(value)); }, kChainSteps);
    if (x.size(0) == 32) throw UserError("the function's own error");
    return y;
  });
  for (int call = 0; call < kChainCalls; ++call) {
    if (call % 2) CHECK_THROWS_AS(compiled(numbers({32})), UserError);
    else compiled(numbers({64}));
  }
}

TEST_CASE("calls in several threads hand each other their values") {
  Takers takers(2, [](Tensor& tensor) {
    try {
      const Tensor y = tensor + 1.0;
    } catch (const UserError&) {
      // of a call that is still computing it
    }
  });
  const Tensor x = numbers({64}), expected = chain(x, [](const Tensor&) {}, kChainSteps);
  std::atomic<int> wrong = 0;
  std::vector<std::thread> callers;
  for (int caller = 0; caller < 3; ++caller)
    callers.emplace_back([&] {
      auto compiled = compile([&](const Tensor& in) { return chain(in, [&](Tensor y) { takers.give(std::move(y)); }, kChainSteps); });
      for (int call = 0; call < kChainCalls / 2; ++call) wrong += !same_bits(compiled(x), expected);
    });
  for (std::thread& caller : callers) caller.join();
  CHECK(wrong == 0);
}
