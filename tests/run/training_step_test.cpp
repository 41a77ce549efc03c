// Whole training steps as one function: the loop over time of a language model, its loss and gradients, clipping and the optimiser,
// which writes in place. Eager and compiled ones are compared after every step.
#include <functional>
#include <memory>

#include "calque/nn.h"
#include "tests/run/match_harness.h"

namespace calque {
namespace {

constexpr int64_t kVocabulary = 7, kUnits = 6, kStreams = 3, kLength = 12;
constexpr int kSteps = 30;

/// A layer-norm LSTM over embedded characters, in f64: so rounding is far below what training makes of a wrong gradient.
struct Model {
  Tensor embedding = weight({kVocabulary, kUnits}), wx = weight({kUnits, 4 * kUnits}), wh = weight({kUnits, 4 * kUnits}),
         bias = weight({4 * kUnits}), gamma = weight({4 * kUnits}), output = weight({kUnits, kVocabulary});

  static Tensor weight(const Shape& shape) { return cast(nn::normal(shape) * 0.4, DType::f64).detach().set_requires_grad(); }
  std::vector<Tensor*> variables() { return {&embedding, &wx, &wh, &bias, &gamma, &output}; }
  Tensors parameters() const { return {embedding, wx, wh, bias, gamma, output}; }

  /// The loss of a batch i64 [T+1,B]; `state` (h and c) is carried on.
  Tensor loss(const Tensor& text, Tensors& state) const {
    Tensors outputs;
    for (int64_t t = 0; t < kLength; ++t) {
      const Tensor x = take(embedding, text[t]);
      const auto [i, f, g, o] = split<4>(layer_norm(matmul(x, wx) + matmul(state[0], wh) + bias) * gamma);
      const Tensor c = sigmoid(f) * state[1] + sigmoid(i) * tanh(g);
      outputs.push_back(sigmoid(o) * tanh(c));
      state = {outputs.back(), c};
    }
    return cross_entropy(matmul(concat(outputs, 0), output), reshape(slice(text, 0, 1, kLength + 1), {kLength * kStreams}));
  }
};

struct Learner {
  using Optimizer = std::unique_ptr<optim::Optimizer>;
  explicit Learner(std::function<Optimizer(const Tensors&)> make) : make_optimizer(std::move(make)) { restart_optimizer(); }
  void restart_optimizer() { optimizer = make_optimizer(model.parameters()); }

  /// Adds the gradients of a batch to those there are; they end where the batch began.
  Tensor add_gradients(const Tensor& text, Tensors& state) {
    const Tensor loss = model.loss(text, state);
    Tensors parameters = model.parameters();
    const Tensors gradients = grad(loss, parameters);
    for (size_t i = 0; i < parameters.size(); ++i) {
      const Tensor before = parameters[i].grad();
      parameters[i].set_grad(before ? before + gradients[i] : gradients[i]);
    }
    state = {state[0].detach(), state[1].detach()};
    return loss.detach();
  }
  void update() {
    optimizer->set_learning_rate(0.02 * optim::cosine(optimizer->steps(), 2 * kSteps));
    clipped += optim::clip_grad_norm(model.parameters(), clip) > clip;
    optimizer->step();
    optimizer->zero_grad();
  }

  std::function<Optimizer(const Tensors&)> make_optimizer;
  Model model;
  Optimizer optimizer;
  double clip = 0.12;  // about half of the steps
  int clipped = 0;
};

/// Loss and the state behind the batch, from the state before it.
using Step = std::function<Tensors(const Tensor& text, const Tensors& state)>;

Step step_of(Learner& learner) {
  return [&learner](const Tensor& text, const Tensors& before) -> Tensors {
    Tensors state = before;
    const Tensor loss = learner.add_gradients(text, state);
    learner.update();
    return {loss, state[0], state[1]};
  };
}

Learner::Optimizer make_adam(const Tensors& parameters) { return std::make_unique<optim::Adam>(parameters); }
Learner::Optimizer make_sgd(const Tensors& parameters) {
  return std::make_unique<optim::Sgd>(parameters, optim::SgdOptions{.momentum = 0.9});
}

Tensor text_of(int step) {
  std::vector<int64_t> text;
  for (int64_t i = 0; i < (kLength + 1) * kStreams; ++i) text.push_back((i * i / 3 + i * (step % 4)) % kVocabulary);
  return from_span(std::span<const int64_t>(text), {kLength + 1, kStreams});
}

/// Differences that sums in another order make, as far as 30 steps let them grow.
void check_equal(const Tensors& ours, const Tensors& expected) {
  REQUIRE(ours.size() == expected.size());
  for (size_t i = 0; i < ours.size(); ++i) {
    INFO("tensor " << i);
    CHECK(max(abs(ours[i].detach() - expected[i].detach())).item() <= 1e-9);
  }
}

/// Trains an eager and a compiled learner side by side. `between` is called for each before every step.
CompileStats compare(Learner::Optimizer (*make)(const Tensors&), const std::function<Step(Learner&)>& make_step = step_of,
                     const std::function<void(Learner&, int step)>& between = [](Learner&, int) {}) {
  manual_seed(3);
  Learner eager(make);
  manual_seed(3);
  Learner ours(make);
  const Step plain = make_step(eager);
  auto compiled = compile(make_step(ours), {.name = "step"});
  const Tensor zero = zeros({kStreams, kUnits}, DType::f64);
  Tensors expected = {zero, zero, zero}, found = expected;
  for (int step = 0; step < kSteps; ++step) {
    INFO("step " << step);
    between(eager, step), between(ours, step);
    expected = plain(text_of(step), Tensors{expected[1], expected[2]});
    found = compiled(text_of(step), Tensors{found[1], found[2]});
    check_equal(found, expected);
    check_equal(ours.model.parameters(), eager.model.parameters());
    CHECK_FALSE(found[0].requires_grad());
  }
  CHECK((eager.clipped > 0 && eager.clipped < kSteps));  // the tests are to meet both
  CHECK(ours.clipped == eager.clipped);
  return compiled.stats();
}

/// Each call is a plan up to the norm of the gradients, with the loop and its gradient, and one of the update.
void check_is_compiled(const CompileStats& stats, uint64_t most_recorded) {
  CHECK(stats.recorded_calls <= most_recorded);
  CHECK(stats.eager_calls == 0);
  CHECK_COMPILED(stats.plan_runs >= 2 * (kSteps - most_recorded));
  CHECK_COMPILED(stats.plan_runs <= 2 * kSteps);
  CHECK_COMPILED(stats.loop_runs >= 2 * (kSteps - most_recorded));
  CHECK(stats.backward_plan_runs == 0);
}

}  // namespace

// Of calls that clip, and of calls that do not, the first is recorded, and one more for each line whose number differs from call to
// call: the factor of clipping, two of Adam or the learning rate of gradient descent.
constexpr uint64_t kMostOfAdam = 4 + 3, kMostOfSgd = 3 + 2;

TEST_CASE("training steps: Adam, with clipping in some steps and a schedule") { check_is_compiled(compare(make_adam), kMostOfAdam); }

TEST_CASE("training steps: gradient descent with momentum") { check_is_compiled(compare(make_sgd), kMostOfSgd); }

TEST_CASE("training steps: parameters and what the optimiser keeps are changed and replaced between calls") {
  const auto between = [](Learner& learner, int step) {
    const NoGradGuard guard;
    if (step % 7 == 6)
      for (Tensor* variable : learner.model.variables()) variable->assign_(*variable * 0.8);
    if (step == 12) learner.optimizer->load_state(learner.optimizer->state());
    if (step != 20) return;
    for (Tensor* variable : learner.model.variables()) *variable = (*variable * 0.5).set_requires_grad();
    learner.restart_optimizer();
  };
  check_is_compiled(compare(make_adam, step_of, between), kMostOfAdam);
}

TEST_CASE("training steps: gradients of two batches are added before an update") {
  const auto make_step = [](Learner& learner) {
    return [&learner](const Tensor& text, const Tensors& before) -> Tensors {
      Tensors state = before;
      const Tensor first = learner.add_gradients(text, state);
      const Tensor both = first + learner.add_gradients((text + 1) % kVocabulary, state);
      learner.update();
      return {both, state[0], state[1]};
    };
  };
  check_is_compiled(compare(make_adam, make_step), kMostOfAdam);
}

TEST_CASE("training steps: gradients are kept by the parameters from one call to the next") {
  const auto make_step = [](Learner& learner) {
    learner.clip = 0.22;
    return [&learner, calls = 0](const Tensor& text, const Tensors& before) mutable -> Tensors {
      Tensors state = before;
      const Tensor loss = learner.add_gradients(text, state);
      if (++calls % 3 == 0) learner.update();
      return {loss, state[0], state[1]};
    };
  };
  const CompileStats stats = compare(make_adam, make_step);
  CHECK(stats.recorded_calls <= kMostOfAdam + 2);  // with gradients of calls before, and without an update
  CHECK(stats.eager_calls == 0);
  CHECK_COMPILED(stats.plan_runs >= kSteps);
  CHECK_COMPILED(stats.loop_runs >= kSteps);
}

}  // namespace calque
