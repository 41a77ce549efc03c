// Loops over a vector of steps, each a tensor of its own, and those that give one result of each step.
#include "calque/pure.h"
#include "tests/run/loop_programs.h"

using namespace calque;
using namespace calque::loop_programs;

namespace {

constexpr int64_t kInputs = kHidden;

/// One tensor of each step.
Tensors steps_of(int64_t count, double start = 0.1) {
  Tensors steps;
  for (int64_t t = 0; t < count; ++t) steps.push_back(doubles({kBatch, kInputs}, start + 0.013 * static_cast<double>(t)));
  return steps;
}

Tensors leaves(int64_t count) {
  Tensors steps = steps_of(count);
  for (Tensor& step : steps) step.set_requires_grad();
  return steps;
}

/// The outputs of all steps, then the last state.
Tensors over(const Tensors& xs, const Tensors& w, bool reverse = false) {
  Tensor h = state(0.3), c = state(-0.2);
  Tensors hs;
  for (size_t i = 0; i < xs.size(); ++i) {
    const Tensors next = lstm_step(xs[reverse ? xs.size() - 1 - i : i], h, c, w);
    h = next[0], c = next[1];
    hs.push_back(h);
  }
  hs.push_back(c);
  return hs;
}

using StepsProgram = std::function<Tensors(const Tensors& xs, const Tensors& w)>;

constexpr int64_t kLengths[] = {40, 41, 0, 57, 3, 2, 33, 1, 12, 60, 4, 35, 57, 0, 44};

/// At many lengths in no order; each of the long ones has a plan that was made without unrolling.
CompileStats check_lengths(const StepsProgram& program, const Tensors& w) {
  auto compiled = compile(program);
  for (const int64_t steps : kLengths) {
    INFO(steps << " steps");
    const Tensors xs = steps_of(steps, 0.01 * static_cast<double>(steps));
    check_same(compiled(xs, w), program(xs, w), "results");
  }
  return compiled.stats();
}

/// Gradients of the weights and of the steps that ask for one, by a loss of some of the results.
Tensors gradients_of(const Tensors& results, const Tensors& xs, const Tensors& w, size_t every) {
  Tensor loss = full({}, 0.0, DType::f64);
  for (size_t i = 0; i < results.size(); i += every) loss = loss + sum(results[i] * results[i]);
  loss.backward();
  Tensors gradients;
  for (const Tensors& all : {w, xs})
    for (const Tensor& tensor : all) gradients.push_back(tensor.grad() ? tensor.grad() : zeros_like(tensor));
  return gradients;
}

void check_gradients(const StepsProgram& program, const std::function<Tensors(int64_t)>& steps_of_length, size_t every) {
  const Tensors ours_w = weights(), their_w = weights();
  auto compiled = compile(program);
  for (const int64_t steps : {40, 41, 57, 3, 33, 12, 60, 44}) {
    INFO(steps << " steps, a loss of every " << every);
    const Tensors ours = steps_of_length(steps), theirs = steps_of_length(steps);
    const Tensors made = compiled(ours, ours_w), expected = program(theirs, their_w);
    check_same(made, expected, "results");
    check_close(gradients_of(made, ours, ours_w, every), gradients_of(expected, theirs, their_w, every));
  }
  CHECK_COMPILED(compiled.stats().rolled_plans >= 4);
}

}  // namespace

TEST_CASE("step vectors: plans of new lengths are made without unrolling") {
  const Tensors w = weights();
  const NoGradGuard no_grad;
  const StepsProgram programs[] = {
      [](const Tensors& xs, const Tensors& w) { return over(xs, w); },
      [](const Tensors& xs, const Tensors& w) { return over(xs, w, true); },
      // Both ways over one vector.
      [](const Tensors& xs, const Tensors& w) {
        Tensors there = over(xs, w);
        const Tensors back = over(xs, w, true);
        there.insert(there.end(), back.begin(), back.end());
        return there;
      },
      // The first step is the first state as well, and the last step is read behind the loop.
      [](const Tensors& xs, const Tensors& w) -> Tensors {
        if (xs.empty()) return {};
        Tensor h = xs[0] * 0.5;
        for (const Tensor& x : xs) h = tanh(matmul(h, w[3]) + x) * sigmoid(x);
        return {h, h * xs.back()};
      },
      // Two tensors of each step, which are stacked as results.
      [](const Tensors& xs, const Tensors& w) -> Tensors {
        Tensor h = state(0.3);
        Tensors hs;
        for (size_t i = 0; i + 1 < xs.size(); i += 2) hs.push_back(h = tanh(matmul(h, w[3]) + xs[i]) * xs[i + 1]);
        if (hs.empty()) return {h};
        return {stack(hs), h};
      },
      // Results that are views.
      [](const Tensors& xs, const Tensors& w) {
        Tensor h = state(0.3);
        Tensors hs;
        for (const Tensor& x : xs) {
          h = tanh(matmul(h, w[3]) + x);
          hs.push_back(unsqueeze(permute(h, {1, 0}), {0}));
        }
        return hs;
      },
      // Each step draws random numbers, from a state of the generator that is a tensor of its own.
      [](const Tensors& xs, const Tensors& w) -> Tensors {
        manual_seed(5);
        Tensor h = state(0.3);
        for (const Tensor& x : xs) h = tanh(matmul(h, w[3]) + dropout(x, 0.3));
        return {h};
      }};
  int number = 0;
  for (const StepsProgram& program : programs) {
    INFO("program " << number++);
    const CompileStats stats = check_lengths(program, w);
    CHECK_COMPILED(stats.rolled_plans >= 3);
    CHECK(stats.recorded_calls <= 8);
  }
}

TEST_CASE("step vectors: gradients of steps and weights") {
  const StepsProgram program = [](const Tensors& xs, const Tensors& w) { return over(xs, w); };
  for (const size_t every : {1u, 2u, 7u}) {
    check_gradients(program, leaves, every);
    check_gradients(program, [](int64_t count) { return steps_of(count); }, every);
  }
}

TEST_CASE("step vectors: gradients by results that are views, or views of steps") {
  const StepsProgram views = [](const Tensors& xs, const Tensors& w) {
    Tensors hs = over(xs, w);
    for (Tensor& h : hs) h = reshape(h, {kHidden * kBatch});
    return hs;
  };
  check_gradients(views, leaves, 3);
  // Values beside their views, two views of one value, and a view of each step itself: those stay by themselves.
  const StepsProgram shared = [](const Tensors& xs, const Tensors& w) {
    Tensors all = over(xs, w);
    for (size_t i = 0; i < xs.size(); ++i) {
      const Tensor next = all[i] * xs[i];
      for (const Tensor& more : {slice(next, 0, 0, 1), slice(next, 0, 1, 2), reshape(all[i], {-1}), unsqueeze(xs[i], {0})})
        all.push_back(more);
    }
    return all;
  };
  const Tensors w = weights();
  auto compiled = compile(shared);
  for (const int64_t steps : {30, 30, 36, 5, 36}) {
    Tensors xs = steps_of(steps), theirs = steps_of(steps);
    Tensors ours = compiled(xs, w), expected = shared(theirs, w);
    check_same(ours, expected, "results");
    const NoGradGuard no_grad;
    for (size_t i = static_cast<size_t>(steps) + 1; i < ours.size(); i += 3) ours[i].mul_(1.5), expected[i].mul_(1.5);
    check_same(ours, expected, "results of which some were written to");
    check_same(xs, theirs, "steps");
  }
}

TEST_CASE("step vectors: one tensor twice, steps that lie otherwise, and steps that differ in what they ask for") {
  const StepsProgram program = [](const Tensors& xs, const Tensors& w) { return over(xs, w); };
  const auto repeated = [](int64_t count) {
    Tensors steps = leaves(count);
    for (size_t i = 1; i < steps.size(); i += 9) steps[i] = steps[i - 1];
    return steps;
  };
  const auto rows = [](int64_t count) {
    const Tensor all = doubles({count, kBatch, 2 * kInputs}, 0.1);
    Tensors steps;
    for (int64_t t = 0; t < count; ++t) steps.push_back(slice(all[t], 1, 3, 3 + kInputs));
    return steps;
  };
  check_gradients(program, rows, 1);
  const Tensors w = weights();
  auto compiled = compile(program);
  for (const int64_t count : {40, 40, 52, 52, 40}) {
    Tensors mixed = leaves(count);
    mixed[static_cast<size_t>(count / 2)] = mixed[1].detach();
    for (const Tensors& xs : {repeated(count), mixed, rows(count), steps_of(count)}) check_same(compiled(xs, w), program(xs, w), "results");
  }
}

TEST_CASE("step vectors: results are storages of their own, of which some are dropped") {
  const Tensors w = weights();
  const NoGradGuard no_grad;
  int call = 0;
  const auto program = [&](const Tensors& xs) {
    Tensors all = over(xs, w);
    if (call % 3 == 1) all.erase(all.begin() + 2, all.end() - 4);
    if (call % 3 == 2) all.erase(all.begin() + 5);
    return all;
  };
  auto compiled = compile(program);
  for (const int64_t steps : {40, 40, 44, 44, 44, 51, 36, 36}) {
    INFO("call " << call);
    const Tensors xs = steps_of(steps);
    Tensors ours = compiled(xs), expected = program(xs);
    ++call;
    check_same(ours, expected, "results");
    const Tensor kept = ours[1] * 1.0;
    const uint32_t version = ours[1].version();
    ours[0].mul_(2.0), expected[0].mul_(2.0);
    ours[2].assign_(ours[0]), expected[2].assign_(expected[0]);
    check_same(ours, expected, "written results");
    CHECK(same_bits(ours[1], kept));
    CHECK(ours[1].version() == version);
  }
}

TEST_CASE("step vectors: a step that is written to") {
  const Tensors w = weights();
  const StepsProgram program = [](const Tensors& xs, const Tensors& w) { return over(xs, w); };
  auto compiled = compile(program);
  Tensors xs = steps_of(40);
  for (int call = 0; call < 4; ++call) {
    xs[static_cast<size_t>(call)].mul_(0.5);  // between calls
    Tensors ours = compiled(xs, w), expected = program(xs, w);
    check_same(ours, expected, "results");
    if (call < 3) continue;
    // Its elements are needed for the gradient of a weight.
    xs[7].mul_(2.0);
    CHECK_THROWS_AS(sum(expected[9]).backward(), UserError);
    CHECK_THROWS_AS(sum(ours[9]).backward(), UserError);
  }
}

TEST_CASE("step vectors: second gradients, and a pure function") {
  const StepsProgram program = [](const Tensors& xs, const Tensors& w) -> Tensors { return over(xs, w); };
  const auto second = [&](auto&& function, const Tensors& xs, const Tensors& w) {
    const Tensors results = function(xs, w);
    const Tensor loss = sum(results[3] * results[30]);
    const Tensors first = grad({loss}, {w[0], xs[2]}, {.create_graph = true});
    return grad({sum(first[0] * first[0]) + sum(first[1])}, {w[1], xs[1]});
  };
  auto compiled = compile(program);
  auto as_pure = compile(pure, program);
  for (const int64_t count : {40, 40, 47, 47, 47}) {
    const Tensors w = weights(), xs = leaves(count);
    check_close(second(compiled, xs, w), second(program, xs, w));
    check_same(as_pure(xs, w), program(xs, w), "results of a pure function");
    const Tensors again = leaves(count), again_w = weights(), theirs = leaves(count), their_w = weights();
    check_close(gradients_of(as_pure(again, again_w), again, again_w, 3), gradients_of(program(theirs, their_w), theirs, their_w, 3));
  }
}

TEST_CASE("step vectors: a deep stack of layers is no loop of the plan") {
  const NoGradGuard no_grad;
  Tensors layers;
  for (int64_t i = 0; i < 40; ++i) layers.push_back(doubles({kHidden, kHidden}, 0.02 * static_cast<double>(i)));
  const auto program = [](const Tensor& x, const Tensors& layers) {
    Tensor y = x;
    for (const Tensor& layer : layers) y = tanh(matmul(y, layer) * 0.2) + x;
    return y;
  };
  auto compiled = compile(program);
  for (int call = 0; call < 3; ++call) check_same({compiled(state(0.1 * call), layers)}, {program(state(0.1 * call), layers)}, "results");
  CHECK(compiled.stats().rolled_plans == 0);
  CHECK(compiled.stats().loop_runs == 0);
}
