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

}  // namespace calque::loop_programs
