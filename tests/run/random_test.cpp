// Random numbers in compiled functions: the bits of eager execution, new numbers on each call, the same
// counters whether ops were matched, run, or replayed after a mismatch.
#include "calque/random.h"

#include <catch2/catch.hpp>

#include <functional>

#include "calque/autograd.h"
#include "calque/compile.h"
#include "calque/nn/layers.h"
#include "calque/nn/optim.h"
#include "tests/support/engines.h"

using namespace calque;
using namespace calque::test;

namespace {

using UnaryFunction = std::function<Tensor(const Tensor&)>;

std::vector<int64_t> counters() { return default_generator().state().to_vector<int64_t>(); }

/// Calls a function, plain and compiled, on the same inputs from the same seed.
void check_equal_calls(const UnaryFunction& function, const std::vector<Tensor>& inputs) {
  std::vector<Tensor> eager, results;
  std::vector<std::vector<int64_t>> eager_counters;
  manual_seed(3);
  for (const Tensor& x : inputs) {
    eager.push_back(function(x));
    eager_counters.push_back(counters());
  }
  auto compiled = compile(function, {.name = "random"});
  manual_seed(3);
  for (size_t i = 0; i < inputs.size(); ++i) {
    INFO("call " << i);
    results.push_back(compiled(inputs[i]));
    CHECK(counters() == eager_counters[i]);
    INFO(first_difference({&results[i], 1}, {&eager[i], 1}));
    CHECK(calque::same_bits(results[i], eager[i]));
  }
}

std::vector<Tensor> some_inputs(int count, const Shape& shape) {
  std::vector<Tensor> inputs;
  for (int i = 0; i < count; ++i) inputs.push_back(ordinary_tensor({DType::f32, shape}, 50 + i));
  return inputs;
}

}  // namespace

TEST_CASE("dropout compiles: eager bits, and new numbers on every call", "[random]") {
  for (const Shape& shape : {Shape{16, 64}, Shape{7, 3, 5}, Shape{100}, Shape{}}) {
    const UnaryFunction f = [](const Tensor& x) { return dropout(tanh(x), 0.4) * 2.0; };
    check_equal_calls(f, some_inputs(5, shape));
  }
  auto compiled = compile([](const Tensor& x) { return dropout(x, 0.5); });
  const Tensor x = ones({16, 64});
  std::vector<std::vector<float>> seen;
  for (int call = 0; call < 5; ++call) {
    seen.push_back(compiled(x).to_vector<float>());
    for (int earlier = 0; earlier < call; ++earlier) CHECK(seen[earlier] != seen[call]);
  }
  if (!can_compile()) return;
  CHECK(compiled.stats().recorded_calls == 1);
  CHECK(compiled.stats().plan_runs == 4);
  CHECK(compiled.stats().kernel_launches >= 4);
}

TEST_CASE("all distributions compile to eager bits", "[random]") {
  check_equal_calls([](const Tensor& x) { return x + rand({33, 17}); }, some_inputs(3, {33, 17}));
  check_equal_calls(
      [](const Tensor& x) {
        return x * randn({33, 17}) + randn({17});
      },
      some_inputs(3, {33, 17}));
  check_equal_calls([](const Tensor& x) { return take(x, randint(0, 33, {50})); }, some_inputs(3, {33, 17}));
  check_equal_calls(
      [](const Tensor& x) {
        return cast(rand({33, 17}, DType::f64), DType::f32) - x;
      },
      some_inputs(3, {33, 17}));
}

TEST_CASE("a branch not taken before draws what eager execution draws", "[random]") {
  const UnaryFunction f = [](const Tensor& x) {
    const Tensor a = dropout(x, 0.3);
    Tensor b = a * 2.0;
    if (sum(b).item() > 0) b = b + rand(x.shape());  // a border in mid-call
    if (x.element_count() > 0 && x.to_vector<float>()[0] > 0) return dropout(b, 0.2) + a;
    return randn(x.shape()) + b;
  };
  std::vector<Tensor> inputs;
  for (int i = 0; i < 12; ++i) {
    const Tensor x = ordinary_tensor({DType::f32, {8, 9}}, 70 + i);
    inputs.push_back(i % 3 == 0 ? abs(x) : i % 3 == 1 ? -abs(x) : x);
  }
  check_equal_calls(f, inputs);
}

TEST_CASE("skipped ops are replayed with the numbers that they were given", "[random]") {
  int call = 0;
  const UnaryFunction f = [&](const Tensor& x) {
    const Tensor a = dropout(x, 0.5), b = a + rand(x.shape());
    return call++ % 4 == 3 ? b * 3.0 : tanh(b);  // after a matched beginning, another end
  };
  std::vector<Tensor> inputs = some_inputs(4, {8, 9}), all = inputs;
  all.insert(all.end(), inputs.begin(), inputs.end());
  check_equal_calls(f, all);
}

TEST_CASE("the backward of a compiled dropout uses the mask of its own call", "[random]") {
  auto compiled = compile([](const Tensor& x) { return dropout(x * x, 0.5); });
  Tensor x = ordinary_tensor({DType::f32, {16, 32}}, 5);
  x.set_requires_grad();
  for (int round = 0; round < 3; ++round) {
    const Tensor first = compiled(x), second = compiled(x);
    x.clear_grad();
    sum(first).backward();  // after another call drew other numbers
    const std::vector<float> y = first.to_vector<float>(), g = x.grad().to_vector<float>(),
                             at = x.to_vector<float>();
    for (size_t i = 0; i < y.size(); ++i) REQUIRE(g[i] == (y[i] == 0 ? 0 : 4 * at[i]));
  }
}

TEST_CASE("first and second gradients through dropout are those of eager execution", "[random]") {
  const UnaryFunction f = [](const Tensor& x) { return dropout(tanh(x) * x, 0.3) * sigmoid(dropout(x, 0.3)); };
  auto compiled = compile(f);
  const auto gradients = [](const UnaryFunction& function, int call) {
    manual_seed(20 + call);
    Tensor x = ordinary_tensor({DType::f64, {6, 7}}, 9);
    x.set_requires_grad();
    const Tensor loss[] = {sum(function(x))}, inputs[] = {x};
    const Tensor first = grad(loss, inputs, {.create_graph = true})[0];
    const Tensor next[] = {sum(first * first)};
    return std::vector<Tensor>{first, grad(next, inputs)[0]};
  };
  for (int call = 0; call < 4; ++call) {
    const std::vector<Tensor> expected = gradients(f, call), found = gradients(compiled, call);
    INFO("call " << call << " " << first_difference(found, expected));
    CHECK(calque::same_bits(found[0], expected[0]));
    CHECK(calque::same_bits(found[1], expected[1]));
  }
}

namespace {

/// A layer-norm LSTM with dropout on its input and its output, trained on a made-up task.
std::vector<double> losses_of_training(bool compiles) {
  manual_seed(31);
  constexpr int64_t kInputs = 8, kHidden = 16, kBatch = 4;
  nn::Linear gates(kInputs + kHidden, 4 * kHidden), readout(kHidden, 1);
  const std::vector<Tensor> parameters{gates.weight, gates.bias, readout.weight, readout.bias};
  optim::Adam adam(parameters, {.learning_rate = 1e-2});
  using State = std::pair<Tensor, Tensor>;
  const auto cell = [&](const Tensor& x, const State& state) {
    auto [i, f, g, o] = split<4>(layer_norm(gates(concat({dropout(x, 0.2), state.first}, 1))));
    const Tensor c = sigmoid(f) * state.second + sigmoid(i) * tanh(g);
    return State{dropout(sigmoid(o) * tanh(c), 0.3), c};
  };
  auto compiled = compile(cell, {.name = "dropout_lstm"});
  std::vector<double> losses;
  for (int step = 0; step < 12; ++step) {
    State state{zeros({kBatch, kHidden}), zeros({kBatch, kHidden})};
    for (int t = 0; t < 5; ++t) {
      const Tensor x = randn({kBatch, kInputs});
      state = compiles ? compiled(x, state) : cell(x, state);
    }
    const Tensor error = readout(state.first) - 1.0, loss = mean(error * error);
    loss.backward();
    adam.step();
    adam.zero_grad();
    losses.push_back(loss.item());
  }
  if (compiles && can_compile()) CHECK(compiled.stats().plan_runs > 50);
  return losses;
}

}  // namespace

TEST_CASE("an LSTM with dropout trains alike, eager and compiled", "[random]") {
  const std::vector<double> eager = losses_of_training(false), compiled = losses_of_training(true);
  // Sums of gradients across a region's border are within rounding, all else is equal in every bit.
  CHECK(eager[0] == compiled[0]);
  for (size_t step = 0; step < eager.size(); ++step)
    CHECK(compiled[step] == Approx(eager[step]).epsilon(1e-4));
  CHECK(losses_of_training(true) == compiled);
}
