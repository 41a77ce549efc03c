// Loops over one row in short steps, which are bound to the columns of each member of a team: the bits of eager execution for any
// width, length, number of threads and length of pieces, forwards and backwards.
#include "compiler/plan.h"
#include "tests/run/loop_programs.h"
#include "tests/support/meanwhile.h"
#include "tests/support/threads.h"

using namespace calque;
using namespace calque::loop_programs;
using test::Meanwhile;

namespace {

constexpr int kCalls = 8;

Tensors rnn(const Tensor& xs, Tensor h, Tensor, const Tensors& w) {
  Tensors hs;
  for (int64_t t = 0; t < xs.size(0); ++t) hs.push_back(h = tanh(matmul(xs[t], w[0]) + matmul(h, w[1]) + w[2]));
  return {stack(hs)};
}

/// Two states by two products of one row each; the last ones only.
Tensors two_products(const Tensor& xs, Tensor h, Tensor c, const Tensors& w) {
  for (int64_t t = xs.size(0) - 1; t >= 0; --t) {
    const Tensor next = tanh(matmul(h, w[1]) + xs[t]);
    c = sigmoid(matmul(h, w[3])) * c + next;
    h = next;
  }
  return {h, c};
}

/// The state is a product itself: an iteration ends with one.
Tensors projected(const Tensor& xs, Tensor h, Tensor c, const Tensors& w) {
  Tensors hs;
  for (int64_t t = 0; t < xs.size(0); ++t) {
    c = tanh(matmul(h, w[1]) + xs[t]) + 0.5 * c;
    hs.push_back(h = matmul(sigmoid(c), w[3]));
  }
  return {stack(hs), c};
}

/// Columns come from elsewhere: from the other half, and from a few columns before.
Tensors crossed(const Tensor& xs, Tensor h, Tensor c, const Tensors& w) {
  Tensors hs;
  for (int64_t t = 0; t < xs.size(0); ++t) {
    const int64_t width = h.size(1), half = width / 2;
    const Tensor other = concat({slice(h, 1, half, width), slice(h, 1, 0, half)}, 1);
    const Tensor moved = concat({slice(c, 1, 3, width), slice(c, 1, 0, 3)}, 1);
    h = tanh(other + xs[t] * w[2]), c = 0.5 * moved + h;
    hs.push_back(c);
  }
  return {stack(hs), h};
}

/// What a single member does, between what all do.
Tensors normalised(const Tensor& xs, Tensor h, Tensor c, const Tensors& w) {
  Tensors hs;
  for (int64_t t = 0; t < xs.size(0); ++t) {
    c = layer_norm(matmul(h, w[1]) + xs[t]) + 0.5 * c;
    h = tanh(c) * sum(h, {1}, true);
    hs.push_back(h);
  }
  return {stack(hs), c};
}

struct RowLoop {
  const char* name;
  Tensors (*run)(const Tensor& xs, Tensor h, Tensor c, const Tensors& w);
  int64_t gates;
};
constexpr RowLoop kRowLoops[] = {{"lstm", lstm, 4}, {"lstm backwards", backwards, 4}, {"rnn", rnn, 1},
                                 {"two products", two_products, 1}, {"projected", projected, 1},
                                 {"crossed", crossed, 1}, {"normalised", normalised, 1}};

struct RowInputs {
  Tensor xs, h, c;
  Tensors w;
  RowInputs(const RowLoop& loop, int64_t width, int64_t steps, DType dtype)
      : xs(cast(doubles({steps, 1, width}, 0.1), dtype)), h(cast(doubles({1, width}, 0.3), dtype)),
        c(cast(doubles({1, width}, -0.2), dtype)) {
    const int64_t columns = loop.gates * width;
    for (const Shape& shape : {Shape{width, columns}, Shape{width, columns}, Shape{columns}, Shape{width, columns}})
      w.push_back(cast(doubles(shape, 0.2) * 0.1, dtype).detach());
  }
  template <class Function>
  Tensors call(Function& function) const { return function(xs, h, c, w); }
};

Tensor with_other_sums(Tensor loss, const Tensors& results) {
  for (size_t i = 1; i < results.size(); ++i) loss = loss + sum(results[i]);
  return loss;
}
Tensor squares(const Tensors& results) { return with_other_sums(sum(results[0] * results[0]), results); }
/// Its gradients are one element each, for all steps and columns.
Tensor plain_sum(const Tensors& results) { return with_other_sums(sum(results[0]), results); }

/// Results, then the gradients of weights and sequence.
template <class Function>
Tensors with_gradients_of(Function& function, RowInputs in, Tensor (*loss_of)(const Tensors&)) {
  for (Tensor& weight : in.w) weight = weight.detach().set_requires_grad();
  in.xs = in.xs.detach().set_requires_grad();
  Tensors results = in.call(function);
  loss_of(results).backward();
  for (const Tensor& weight : in.w) results.push_back(weight.grad());
  results.push_back(in.xs.grad());
  return results;
}

}  // namespace

TEST_CASE("short rows: the bits of eager execution for any width, length and number of threads") {
  const NoGradGuard no_grad;
  for (const RowLoop& loop : kRowLoops)
    for (const int64_t width : {16, 48, 64, 80, 30})
      for (const int threads : {1, 2, 3}) {
        const test::Threads scope(threads);
        const Meanwhile few(Plan::piece_rows, 8);
        const Meanwhile shared(Plan::shares_every_loop, true);
        auto compiled = compile(loop.run);
        for (const auto& [steps, dtype] : {std::pair{20, DType::f32}, {5, DType::f32}, {33, DType::f64}}) {
          INFO(loop.name << ", " << width << " wide, " << steps << " steps, " << threads << " threads");
          const RowInputs in(loop, width, steps, dtype);
          const Tensors expected = in.call(loop.run);
          for (int call = 0; call < kCalls; ++call) check_same(in.call(compiled), expected, "results");
        }
        CHECK_COMPILED(compiled.stats().loop_runs > 0);
      }
}

TEST_CASE("short rows: columns of nothing, beside something") {
  const NoGradGuard no_grad;
  const Meanwhile shared(Plan::shares_every_loop, true);
  const auto run = [](const Tensor& xs, Tensor nothing, Tensor h, const Tensor& empty_steps) {
    Tensors hs, all;
    for (int64_t t = 0; t < xs.size(0); ++t) {
      hs.push_back(h = tanh(h + xs[t]));
      all.push_back(nothing = tanh(nothing * 0.5 + empty_steps[t]));
    }
    return Tensors{stack(hs), stack(all), nothing, h};
  };
  auto compiled = compile(run);
  const Tensor xs = doubles({20, 1, 16}, 0.1), h = doubles({1, 16}, 0.3), nothing = zeros({1, 0}, DType::f64);
  for (int call = 0; call < kCalls; ++call)
    check_same(compiled(xs, nothing, h, zeros({20, 1, 0}, DType::f64)), run(xs, nothing, h, zeros({20, 1, 0}, DType::f64)), "results");
  CHECK_COMPILED(compiled.stats().loop_runs > 0);
}

TEST_CASE("short rows: gradients within rounding of the tape's, the same in every run") {
  for (const RowLoop& loop : kRowLoops)
    for (const int64_t width : {16, 64, 80})
      for (const int threads : {1, 2, 3}) {
        const test::Threads scope(threads);
        const Meanwhile shared(Plan::shares_every_loop, true);
        auto compiled = compile(loop.run);
        for (const auto& [steps, loss] : {std::pair{20, &squares}, {4, &squares}, {12, &plain_sum}}) {
          INFO(loop.name << ", " << width << " wide, " << steps << " steps, " << threads << " threads");
          const RowInputs in(loop, width, steps, DType::f64);
          const Tensors expected = with_gradients_of(loop.run, in, loss);
          Tensors first;
          for (int call = 0; call < kCalls; ++call) {
            const Tensors found = with_gradients_of(compiled, in, loss);
            check_close(found, expected);
            if (call == 4) first = found;
            if (call > 4) check_same(found, first, "gradients");
          }
        }
      }
}
