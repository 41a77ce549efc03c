// Runs a program both plainly and through compile(), and compares everything that can be seen from outside.
#pragma once

#include <catch2/catch.hpp>

#include <cstddef>
#include <vector>

#include "calque/autograd.h"
#include "calque/compile.h"
#include "calque/ops.h"
#include "tests/support/can_compile.h"
#include "tests/support/same_bits.h"

/// A statement about what ran as compiled code. None is generated for baseline x86-64, where only results are checked.
#define CHECK_COMPILED(...) \
  if (calque::test::can_compile()) CHECK(__VA_ARGS__)

namespace calque {

using test::can_compile;
using Tensors = std::vector<Tensor>;

/// f32 numbers in [-1.4, 1.4] that repeat after 17 elements; `start` shifts them.
inline Tensor numbers(const Shape& shape, double start = -1.0, double step = 0.17) {
  std::vector<float> values(shape.element_count());
  for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(start + step * static_cast<double>(i % 17));
  return from_vector(values, shape);
}

/// The same numbers, whose gradient is wanted.
inline Tensor leaf(const Shape& shape, double start = -1.0, double step = 0.17) {
  return numbers(shape, start, step).set_requires_grad();
}

inline void check_same(const Tensors& ours, const Tensors& expected, const char* what) {
  INFO(what);
  REQUIRE(ours.size() == expected.size());
  for (size_t i = 0; i < ours.size(); ++i) {
    INFO("tensor " << i);
    REQUIRE(static_cast<bool>(ours[i]) == static_cast<bool>(expected[i]));
    if (!ours[i]) continue;
    CHECK(same_bits(ours[i], expected[i]));
    CHECK(ours[i].requires_grad() == expected[i].requires_grad());
  }
}

/// Within rounding of f64: sums were added in another order.
inline void check_close(const Tensors& ours, const Tensors& expected) {
  const NoGradGuard no_grad;
  REQUIRE(ours.size() == expected.size());
  for (size_t i = 0; i < ours.size(); ++i) {
    INFO("tensor " << i);
    REQUIRE(static_cast<bool>(ours[i]) == static_cast<bool>(expected[i]));
    if (!ours[i]) continue;
    REQUIRE(ours[i].shape() == expected[i].shape());
    CHECK(ours[i].requires_grad() == expected[i].requires_grad());
    if (ours[i].element_count() == 0) continue;
    const double scale = 1.0 + max(abs(expected[i])).item();
    CHECK(max(abs(ours[i] - expected[i])).item() <= 1e-12 * scale);
  }
}

/// `make()` gives the program, Tensors -> Tensors, each time with host state of its own. It is called `calls` times plainly and
/// compiled, on what `inputs(call)` gives. Results and inputs afterwards must agree in every bit.
template <class Make, class Inputs>
CompileStats same_as_plain(Make make, Inputs inputs, int calls = 5, const CompileOptions& options = {}) {
  auto plain = make();
  auto compiled = compile(make(), options);
  for (int call = 0; call < calls; ++call) {
    INFO("call " << call);
    Tensors expected_inputs = inputs(call), our_inputs = inputs(call);
    const Tensors expected = plain(expected_inputs), ours = compiled(our_inputs);
    check_same(ours, expected, "results");
    check_same(our_inputs, expected_inputs, "inputs");
  }
  return compiled.stats();
}

/// Two [4,9] tensors that differ from call to call.
inline Tensors two_matrices(int call) { return {numbers({4, 9}, -1 + 0.1 * call), numbers({4, 9}, 0.3 - 0.07 * call, 0.11)}; }

}  // namespace calque
