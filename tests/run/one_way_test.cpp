// Programs with loops as people write them: whatever stands before, between and behind their loops, a few calls are recorded, and
// from then on every length runs as one loop, with eager execution's bits and gradients.
#include <algorithm>
#include <random>

#include "tests/run/loop_programs.h"
#include "tests/support/sanitized.h"

using namespace calque;
using namespace calque::loop_programs;

namespace {

/// The states of an LSTM, step by step.
struct LstmCell {
  Tensor h, c;
  const Tensors& w;
  Tensor step(const Tensor& x) {
    const Tensors next = lstm_step(x, h, c, w);
    h = next[0], c = next[1];
    return h;
  }
  Tensors over(const Tensor& xs) {
    Tensors hs;
    for (int64_t t = 0; t < xs.size(0); ++t) hs.push_back(step(xs[t]));
    return hs;
  }
  bool is_odd() const { return sum(h).item() > 1e9; }  // a read
  void end() { h = h * 0.5, c = c * 0.5; }
};

struct LoopAsWritten {
  const char* name;
  Tensors (*run)(const Tensor& xs, LstmCell cell);
};

constexpr LoopAsWritten kLoopsAsWritten[] = {
    {"a read before the loop",
     [](const Tensor& xs, LstmCell cell) -> Tensors {
       if (cell.is_odd()) cell.end();
       return {stack(cell.over(xs))};
     }},
    {"a read between two loops",
     [](const Tensor& xs, LstmCell cell) -> Tensors {
       const Tensors first = cell.over(xs);
       if (cell.is_odd()) cell.end();
       Tensors second;
       for (int64_t t = 0; t < xs.size(0) / 2 + 3; ++t) second.push_back(cell.step(first.back()));
       return {stack(first), stack(second)};
     }},
    {"a read behind the loop",
     [](const Tensor& xs, LstmCell cell) -> Tensors {
       const Tensors hs = cell.over(xs);
       return {hs.back() * (cell.is_odd() ? 2.0 : 1.0)};
     }},
    {"reads until some value comes",
     [](const Tensor& xs, LstmCell cell) -> Tensors {
       Tensors hs = cell.over(xs);
       for (int64_t t = 0; t < xs.size(0) / 3 && !cell.is_odd(); ++t) hs.push_back(cell.step(hs.back()));
       return {stack(hs)};
     }},
    {"generation behind a prompt",
     [](const Tensor& xs, LstmCell cell) -> Tensors {
       Tensors hs = cell.over(xs);
       for (int64_t t = 0; t < 9; ++t) hs.push_back(cell.step(hs.back()));
       return {stack(hs)};
     }},
    {"one more step behind the loop",
     [](const Tensor& xs, LstmCell cell) -> Tensors {
       Tensors hs = cell.over(xs);
       hs.push_back(cell.step(cell.h));
       return {concat(hs, 1)};
     }},
    {"two steps before the loop",
     [](const Tensor& xs, LstmCell cell) -> Tensors {
       cell.step(xs[0]), cell.step(xs[1]);
       return {stack(cell.over(slice(xs, 0, 2, xs.size(0))))};
     }},
    {"a reversed list",
     [](const Tensor& xs, LstmCell cell) -> Tensors {
       Tensors hs = cell.over(xs);
       std::reverse(hs.begin(), hs.end());
       return {stack(hs)};
     }},
    {"three layers in turn",
     [](const Tensor& xs, LstmCell cell) -> Tensors {
       Tensor layer = xs;
       for (int i = 0; i < 3; ++i, cell.end()) layer = stack(cell.over(layer));
       return {layer};
     }},
    {"both directions, joined step by step",
     [](const Tensor& xs, LstmCell cell) -> Tensors {
       const Tensors there = cell.over(xs);
       cell.end();
       Tensors back(there.size()), joined;
       for (int64_t t = xs.size(0) - 1; t >= 0; --t) back[static_cast<size_t>(t)] = cell.step(xs[t]);
       for (size_t t = 0; t < there.size(); ++t) joined.push_back(tanh(there[t] + back[t]));
       return {stack(joined)};
     }},
    {"windows of three steps",
     [](const Tensor& xs, LstmCell cell) -> Tensors {
       Tensors hs;
       for (int64_t t = 1; t + 1 < xs.size(0); ++t) hs.push_back(cell.step(xs[t - 1] + xs[t] * 0.5 + xs[t + 1]));
       return {stack(hs)};
     }},
    {"states of three steps before",
     [](const Tensor& xs, LstmCell cell) -> Tensors {
       Tensors hs;
       for (int64_t t = 0; t < xs.size(0); ++t)
         hs.push_back(cell.step(t >= 3 ? xs[t] + hs[static_cast<size_t>(t) - 3] : xs[t]));
       return {stack(hs)};
     }},
    {"a loss of each step",
     [](const Tensor& xs, LstmCell cell) -> Tensors {
       Tensors losses;
       for (const Tensor& h : cell.over(xs)) losses.push_back(mean(h * h));
       return {sum(stack(losses))};
     }},
    {"each row of a batch",
     [](const Tensor& xs, LstmCell cell) -> Tensors {
       Tensors last;
       for (int64_t row = 0; row < 3; ++row) {
         LstmCell own{slice(cell.h, 0, row, row + 1), slice(cell.c, 0, row, row + 1), cell.w};
         last.push_back(own.over(slice(xs, 1, row, row + 1)).back());
       }
       return {concat(last, 0)};
     }},
};

}  // namespace

TEST_CASE("one way: programs as people write them are recorded a few times, for any length") {
  constexpr uint64_t kCalls = 30, kMostRecorded = 5;
  for (const bool with_gradients_too : {false, true})
    for (const LoopAsWritten& program : kLoopsAsWritten) {
      const auto run = [&](const Tensor& xs, const Tensor& h, const Tensor& c, const Tensors& w) {
        return program.run(xs, {h, c, w});
      };
      auto compiled = compile(run);
      std::mt19937 random(3);
      for (uint64_t call = 0; call < kCalls; ++call) {
        const auto steps = static_cast<int64_t>(8 + random() % 20);
        INFO(program.name << ", call " << call << " of " << steps << " steps" << (with_gradients_too ? ", with gradients" : ""));
        if (with_gradients_too) {
          check_close(with_gradients(compiled, steps), with_gradients(run, steps));
        } else {
          const NoGradGuard no_grad;
          const Tensors w = weights();
          check_same(compiled(sequence(steps), state(0.3), state(-0.2), w), run(sequence(steps), state(0.3), state(-0.2), w), "results");
        }
      }
      INFO(program.name << (with_gradients_too ? ", with gradients" : ""));
      CHECK(compiled.stats().recorded_calls <= kMostRecorded);
      CHECK_COMPILED(compiled.stats().loop_runs >= kCalls - kMostRecorded);
    }
}
