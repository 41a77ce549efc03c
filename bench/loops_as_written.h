// Programs with loops as people write them: what stands before, between and behind a loop, lists of all kinds, several loops.
#pragma once

#include <algorithm>
#include <vector>

#include "calque/calque.h"

namespace calque::bench {

using Tensors = std::vector<Tensor>;

/// The states of an LSTM, step by step. Weights: of the input, of the state, and a bias, for all four gates.
struct LstmCell {
  Tensor h, c;
  const Tensors& w;
  Tensor step(const Tensor& x) {
    const auto [i, f, g, o] = split<4>(matmul(x, w[0]) + matmul(h, w[1]) + w[2], -1);
    c = sigmoid(f) * c + sigmoid(i) * tanh(g);
    return h = sigmoid(o) * tanh(c);
  }
  Tensors over(const Tensor& xs) {
    Tensors hs;
    for (int64_t t = 0; t < xs.size(0); ++t) hs.push_back(step(xs[t]));
    return hs;
  }
  bool is_odd() const { return sum(h).item() > 1e9; }  // a read
  void end() { h = h * 0.5, c = c * 0.5; }
};

/// A program on a sequence [T, B, H].
struct LoopAsWritten {
  const char* name;
  Tensors (*run)(const Tensor& xs, LstmCell cell);
  bool is_one_way = true;  // what is recorded at a few lengths serves all
};

inline constexpr LoopAsWritten kLoopsAsWritten[] = {
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
    {"a readout and its loss for each state",
     [](const Tensor& xs, LstmCell cell) -> Tensors {
       Tensors logits, losses;
       for (const Tensor& h : cell.over(xs)) logits.push_back(matmul(h, cell.w[0]) + cell.w[2]);
       for (const Tensor& each : logits) losses.push_back(cross_entropy(each, arange(each.size(0))));
       return {sum(stack(losses)) / static_cast<double>(xs.size(0)), stack(logits)};
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
    {"attention over the states, and means",
     [](const Tensor& xs, LstmCell cell) -> Tensors {
       const Tensor states = permute(stack(cell.over(xs)), {1, 0, 2});  // [B, T, H]
       const Tensor weights = softmax(sum(states * reshape(cell.h, {-1, 1, cell.h.size(1)}), {2}), 1);
       const Tensor read = sum(states * reshape(weights, {-1, xs.size(0), 1}), {1});
       return {tanh(read), mean(states * states)};
     }},
    {"a vector of steps, split from one tensor",
     [](const Tensor& xs, LstmCell cell) -> Tensors {
       Tensors hs;
       for (const Tensor& x : split(xs, xs.size(0), 0)) hs.push_back(cell.step(squeeze(x, {0})));
       return {stack(hs)};
     },
     false},
    {"states and cells in turn in one list",
     [](const Tensor& xs, LstmCell cell) -> Tensors {
       Tensors both;
       for (int64_t t = 0; t < xs.size(0); ++t) both.push_back(cell.step(xs[t])), both.push_back(cell.c);
       return {stack(both)};
     },
     false},
    {"chunks of ten steps and a rest",
     [](const Tensor& xs, LstmCell cell) -> Tensors {
       Tensors chunks;
       for (int64_t t = 0; t < xs.size(0); t += 10) chunks.push_back(stack(cell.over(slice(xs, 0, t, std::min(t + 10, xs.size(0))))));
       return {concat(chunks, 0)};
     },
     false},
};

}  // namespace calque::bench
