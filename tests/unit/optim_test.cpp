// Optimisers, schedules and clipping against loops over plain numbers, in double.
#include "calque/nn/optim.h"

#include <catch2/catch.hpp>
#include <cmath>
#include <functional>
#include <memory>
#include <numbers>

#include "calque/autograd.h"
#include "calque/ops.h"

using namespace calque;
using Catch::Matchers::Contains;

namespace {

constexpr int kOptimizerSteps = 40;

Tensor parameter(const std::vector<double>& values) {
  Tensor x = from_vector(values);
  return x.set_requires_grad();
}

/// Leaves the gradient of x^4 / 4 + x, summed, in .grad(); its minimum is at -1.
void differentiate(const Tensor& x) { sum(0.25 * square(x * x) + x).backward(); }
double gradient_at(double x) { return x * x * x + 1; }

/// One number under an optimiser: its value after a step, from its value and its gradient.
using TextbookStep = std::function<double(double x, double g)>;

/// Minimises three numbers side by side with a textbook loop for each.
void follows(optim::Optimizer& optimizer, const Tensor& x, const std::function<TextbookStep()>& textbook,
             const std::function<void(int)>& before_step = {}) {
  std::vector<double> expected = x.to_vector<double>();
  std::vector<TextbookStep> numbers;
  for (size_t i = 0; i < expected.size(); ++i) numbers.push_back(textbook());
  for (int step = 0; step < kOptimizerSteps; ++step) {
    if (before_step) before_step(step);
    differentiate(x);
    optimizer.step();
    optimizer.zero_grad();
    REQUIRE(!x.grad());
    const std::vector<double> values = x.to_vector<double>();
    for (size_t i = 0; i < values.size(); ++i) {
      expected[i] = numbers[i](expected[i], gradient_at(expected[i]));
      REQUIRE(values[i] == Approx(expected[i]).epsilon(1e-11).margin(1e-12));
    }
  }
  CHECK(optimizer.steps() == kOptimizerSteps);
}

const std::vector<double> kStart = {1.5, -0.25, 0.01};

/// Adam as algorithm 1 of the paper writes it; with decoupled decay as algorithm 2 of AdamW's.
TextbookStep adam_textbook(double rate, double decay) {
  return [rate, decay, m = 0.0, v = 0.0, t = 0](double x, double g) mutable {
    ++t;
    m = 0.9 * m + 0.1 * g;
    v = 0.999 * v + 0.001 * g * g;
    const double m_hat = m / (1 - std::pow(0.9, t)), v_hat = v / (1 - std::pow(0.999, t));
    return x - rate * decay * x - rate * m_hat / (std::sqrt(v_hat) + 1e-8);
  };
}

}  // namespace

TEST_CASE("clip_grad_norm scales only what is too long") {
  Tensor a = zeros({2}), b = zeros({1}), without = zeros({1});
  a.set_requires_grad(), b.set_requires_grad(), without.set_requires_grad();
  a.set_grad(from_vector<float>({3, 0}));
  b.set_grad(from_vector<float>({4}));
  const std::vector<Tensor> parameters = {a, b, without};
  CHECK(optim::clip_grad_norm(parameters, 6) == Approx(5));
  CHECK(a.grad().to_vector<float>() == std::vector<float>{3, 0});
  CHECK(optim::clip_grad_norm(parameters, 1) == Approx(5));
  CHECK(a.grad().to_vector<float>()[0] == Approx(0.6).epsilon(1e-5));
  CHECK(b.grad().to_vector<float>()[0] == Approx(0.8).epsilon(1e-5));
  CHECK(!without.grad());
  a.set_grad(from_vector<float>({INFINITY, 1}));
  CHECK(!std::isfinite(optim::clip_grad_norm(parameters, 1)));
  CHECK(a.grad().to_vector<float>()[1] == 1);
}

TEST_CASE("SGD follows the gradient") {
  Tensor x = parameter(kStart);
  optim::Sgd sgd({x}, {.learning_rate = 0.01});
  follows(sgd, x, [] { return [](double x, double g) { return x - 0.01 * g; }; });
}

TEST_CASE("SGD with momentum, Nesterov's and not, with and without weight decay") {
  const bool nesterov = GENERATE(false, true);
  const double decay = GENERATE(0.0, 0.1);
  Tensor x = parameter(kStart);
  optim::Sgd sgd({x}, {.learning_rate = 0.01, .momentum = 0.9, .nesterov = nesterov, .weight_decay = decay});
  follows(sgd, x, [&] {
    return [=, v = 0.0](double x, double g) mutable {
      g += decay * x;
      v = 0.9 * v + g;
      return x - 0.01 * (nesterov ? g + 0.9 * v : v);
    };
  });
}

TEST_CASE("Adam follows the paper") {
  Tensor x = parameter(kStart);
  optim::Adam adam({x}, {.learning_rate = 0.05});
  follows(adam, x, [] { return adam_textbook(0.05, 0); });
}

TEST_CASE("AdamW decays beside Adam's update") {
  Tensor x = parameter(kStart);
  optim::AdamW adam({x}, {.learning_rate = 0.05, .weight_decay = 0.3});
  follows(adam, x, [] { return adam_textbook(0.05, 0.3); });
}

TEST_CASE("an optimiser takes its rate from a schedule") {
  Tensor x = parameter(kStart);
  optim::Sgd sgd({x}, {.learning_rate = 1});
  int t = 0;
  follows(
      sgd, x,
      [&] { return [t = 0](double x, double g) mutable { return x - 0.02 / (1 + t++) * g; }; },
      [&](int) { sgd.set_learning_rate(0.02 / (1 + t++)); });
}

TEST_CASE("parameters without a gradient stay as they are") {
  Tensor x = parameter(kStart), idle = parameter({2, 3});
  optim::AdamW adam({idle, x}, {.learning_rate = 0.05});
  for (int step = 0; step < 3; ++step) {
    differentiate(x);
    adam.step();
    adam.zero_grad();
  }
  CHECK(idle.to_vector<double>() == std::vector<double>{2, 3});
  CHECK(x.to_vector<double>() != kStart);
}

TEST_CASE("every optimiser goes on from a saved state in every bit, and keeps no tensor of it") {
  using Make = std::function<std::unique_ptr<optim::Optimizer>(const Tensor&)>;
  const std::vector<Make> all = {
      [](const Tensor& x) { return std::make_unique<optim::Sgd>(std::vector{x}); },
      [](const Tensor& x) {
        return std::make_unique<optim::Sgd>(std::vector{x}, optim::SgdOptions{.momentum = 0.9, .nesterov = true});
      },
      [](const Tensor& x) { return std::make_unique<optim::Adam>(std::vector{x}); },
      [](const Tensor& x) { return std::make_unique<optim::AdamW>(std::vector{x}); }};
  const auto advance = [](const Tensor& x, optim::Optimizer& optimizer) {
    for (int step = 0; step < 5; ++step) {
      optimizer.set_learning_rate(0.03 * optim::cosine(optimizer.steps(), 10));
      differentiate(x);
      optimizer.step();
      optimizer.zero_grad();
    }
  };
  for (const Make& make : all) {
    Tensor x = parameter(kStart);
    const auto one = make(x);
    advance(x, *one);
    Tensor y = parameter(x.to_vector<double>());
    const auto other = make(y);
    NamedTensors state = one->state();
    other->load_state(state);
    CHECK(other->steps() == 5);
    CHECK(other->learning_rate() == one->learning_rate());
    advance(x, *one);
    for (auto& [name, tensor] : state)
      if (tensor.dtype() == DType::f64) tensor.fill_(99);
    advance(y, *other);
    CHECK(x.to_vector<double>() == y.to_vector<double>());
  }
}

TEST_CASE("a state that does not fit changes nothing") {
  Tensor x = parameter(kStart);
  optim::Adam adam({x});
  differentiate(x);
  adam.step();
  const NamedTensors whole = adam.state();
  const auto without = [&](const std::string& name) {
    NamedTensors result;
    for (const auto& entry : whole)
      if (entry.first != name) result.push_back(entry);
    return result;
  };
  const auto with = [&](const std::string& name, const Tensor& tensor) {
    NamedTensors result = without(name);
    result.emplace_back(name, tensor);
    return result;
  };
  CHECK_THROWS_WITH(adam.load_state(without("second.0")), Contains("second.0"));
  CHECK_THROWS_WITH(adam.load_state(with("first.0", zeros({3}))), Contains("f64[3]") && Contains("f32[3]"));
  CHECK_THROWS_WITH(adam.load_state(with("first.1", zeros({3}))), Contains("first.1"));
  CHECK_THROWS_AS(adam.load_state(with("step", from_value<int64_t>(-1))), UserError);
  CHECK_THROWS_AS(optim::Sgd({x}).load_state(whole), UserError);
  CHECK(adam.steps() == 1);
  CHECK(find(adam.state(), "first.0").to_vector<double>() == find(whole, "first.0").to_vector<double>());
}

TEST_CASE("optimisers refuse what cannot be meant") {
  const Tensor x = parameter(kStart);
  CHECK_THROWS_AS(optim::Sgd({x}, {.learning_rate = -1}), UserError);
  CHECK_THROWS_AS(optim::Sgd({x}, {.momentum = 1}), UserError);
  CHECK_THROWS_AS(optim::Sgd({x}, {.nesterov = true}), UserError);
  CHECK_THROWS_AS(optim::Sgd({x}, {.weight_decay = -1}), UserError);
  CHECK_THROWS_AS(optim::Adam({x}, {.learning_rate = NAN}), UserError);
  CHECK_THROWS_AS(optim::Adam({x}, {.beta2 = 1}), UserError);
  CHECK_THROWS_AS(optim::AdamW({x}, {.weight_decay = -1}), UserError);
  CHECK_THROWS_AS(optim::Adam({x, x}), UserError);
  CHECK_THROWS_AS(optim::Adam({zeros({2})}), UserError);
  CHECK_THROWS_AS(optim::Adam({Tensor()}), UserError);
}

TEST_CASE("step decay, cosine, and warm-up in closed form") {
  CHECK(optim::step_decay(0, 10) == 1);
  CHECK(optim::step_decay(9, 10) == 1);
  CHECK(optim::step_decay(10, 10) == Approx(0.1));
  CHECK(optim::step_decay(35, 10, 0.5) == Approx(0.125));

  CHECK(optim::cosine(0, 100) == 1);
  CHECK(optim::cosine(50, 100) == Approx(0.5));
  CHECK(optim::cosine(100, 100) == 0);
  CHECK(optim::cosine(1000, 100, 0.25) == 0.25);
  for (int step = 0; step < 100; ++step)
    CHECK(optim::cosine(step, 100, 0.1) == Approx(0.1 + 0.9 * (1 + std::cos(std::numbers::pi * step / 100)) / 2));

  CHECK(optim::warm_up(0, 4) == 0.25);
  CHECK(optim::warm_up(3, 4) == 1);
  CHECK(optim::warm_up(4, 4) == 1);

  const double expected[] = {0.5, 1, 1, 0.875, 0.75, 0.625, 0.5, 0.5};
  for (int step = 0; step < 8; ++step) CHECK(optim::warm_up_linear(step, 2, 6, 0.5) == Approx(expected[step]));
  CHECK(optim::warm_up_linear(0, 0, 4) == 1);
}

TEST_CASE("schedules refuse steps and lengths that mean nothing") {
  CHECK_THROWS_AS(optim::step_decay(-1, 10), UserError);
  CHECK_THROWS_AS(optim::step_decay(1, 0), UserError);
  CHECK_THROWS_AS(optim::step_decay(1, 1, INFINITY), UserError);
  CHECK_THROWS_AS(optim::cosine(1, 0), UserError);
  CHECK_THROWS_AS(optim::cosine(1, 5, NAN), UserError);
  CHECK_THROWS_AS(optim::warm_up(0, 0), UserError);
  CHECK_THROWS_AS(optim::warm_up_linear(0, 5, 5), UserError);
  CHECK_THROWS_AS(optim::warm_up_linear(0, -1, 5), UserError);
}
