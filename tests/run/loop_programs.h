// Programs with loops over time, that tests compile.
#pragma once

#include <functional>
#include <vector>

#include "calque/calque.h"
#include "tests/run/match_harness.h"

namespace calque::loop_programs {

inline constexpr int64_t kBatch = 3, kHidden = 16;

/// A program on a sequence [T, B, H], two states [B, H] and weights.
struct Loop {
  const char* name;
  std::function<Tensors(const Tensor& xs, Tensor h, Tensor c, const Tensors& w)> run;
  int loops;  // so many must roll; of at least 3 steps
  bool is_one_way = true;  // what one length recorded serves others
};

const std::vector<Loop>& loops();

Tensors lstm_step(const Tensor& x, const Tensor& h, const Tensor& c, const Tensors& w);
Tensors lstm(const Tensor& xs, Tensor h, Tensor c, const Tensors& w);
Tensors backwards(const Tensor& xs, Tensor h, Tensor c, const Tensors& w);

/// f64 numbers that repeat after 19 elements.
Tensor doubles(const Shape& shape, double start);
inline Tensor state(double start) { return doubles({kBatch, kHidden}, start); }
inline Tensor sequence(int64_t steps, double start = 0.1) { return doubles({steps, kBatch, kHidden}, start); }
/// Weights that ask for gradients, made anew.
Tensors weights();

/// Results of a call, then the gradients of the weights and of the sequence.
template <class Program>
Tensors with_gradients(Program&& program, int64_t steps) {
  const Tensors w = weights();
  Tensor xs = doubles({steps, kBatch, kHidden}, 0.05).set_requires_grad();
  Tensors results = program(xs, doubles({kBatch, kHidden}, 0.3), doubles({kBatch, kHidden}, -0.2), w);
  Tensor loss = sum(results[0] * results[0]);
  for (size_t i = 1; i < results.size(); ++i) loss = loss + sum(results[i] * results[i]) * 0.1;
  loss.backward();
  for (const Tensor& weight : w) results.push_back(weight.grad());
  results.push_back(xs.grad());
  return results;
}

}  // namespace calque::loop_programs
