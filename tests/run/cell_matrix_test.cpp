// Every cell of the gallery, two layers and both directions, at every length and batch: without gradients, with gradients of no
// step and of many, and second gradients, taken outside and inside of the function.
#include "tests/run/cell_matrix.h"

namespace calque::cell_matrix {

namespace {

constexpr int64_t kBatches[] = {1, 3, 16};
constexpr int kMatrixCalls = 2;  // at the latest the second call of a size runs a plan

/// The gradient of a penalty on the gradient of a loss.
Tensors second_gradients(const Tensors& results, const Tensors& weights) {
  const Tensor loss = sum(results[0] * results[0]);
  const Tensors first = grad(loss, weights, {.create_graph = true});
  Tensor penalty = sum(first[0] * first[0]);
  for (size_t i = 1; i < first.size(); ++i) penalty = penalty + sum(first[i] * first[i]);
  return grad(penalty, weights);
}

}  // namespace

TEST_CASE("cell matrix: inference gives eager execution's bits at every length and batch") {
  for (const Model& model : models()) {
    const NoGradGuard no_grad;
    auto compiled = compile(model.run, {.name = model.name});
    const auto call = [&](int64_t steps, int64_t batch) {
      INFO(model.name << ", " << steps << " steps, batch " << batch);
      const Workload work(model, steps, batch, Wants::nothing);
      check_same(results_of(compiled, work), results_of(model.run, work), "results");
    };
    for (int64_t steps : {7, 5}) call(steps, 2);  // the second shows that the length is one
    for (int64_t batch : kBatches)
      for (int64_t steps : {7, 2, 1, 0}) {
        const CompileStats before = compiled.stats();
        for (int repeat = 0; repeat < kMatrixCalls; ++repeat) call(steps, batch);
        INFO(model.name << ", " << steps << " steps, batch " << batch);
        if (steps > 0) CHECK_COMPILED(compiled.stats().plan_runs > before.plan_runs);
        if (steps == 7 && !model.reads_each_step) CHECK_COMPILED(compiled.stats().loop_runs > before.loop_runs);
      }
    CHECK(compiled.stats().backward_plan_runs == 0);
  }
}

TEST_CASE("cell matrix: inference over a hundred steps") {
  for (const Model& model : standard_models()) {
    const NoGradGuard no_grad;
    auto compiled = compile(model.run);
    for (int64_t batch : kBatches)
      for (int call = 0; call < 3; ++call) {
        INFO(model.name << ", batch " << batch);
        const Workload work(model, 100, batch, Wants::nothing);
        check_same(results_of(compiled, work), results_of(model.run, work), "results");
      }
    CHECK_COMPILED(compiled.stats().loop_runs >= 6);
    CHECK_COMPILED(compiled.stats().rolled_plans >= 3);
  }
}

TEST_CASE("cell matrix: gradients of two layers and of both directions, and of no step at all") {
  for (const Model& model : models()) {
    auto compiled = compile(model.run, {.name = model.name});
    const bool is_of_several = model.name.find(' ') != std::string::npos;
    const std::vector<int64_t> lengths = is_of_several ? std::vector<int64_t>{7, 5, 2, 1, 0, 0} : std::vector<int64_t>{4, 0, 0};
    for (int64_t batch : kBatches)
      for (int64_t steps : lengths) {
        INFO(model.name << ", " << steps << " steps, batch " << batch);
        const Workload work(model, steps, batch, Wants::gradients);
        const Tensors expected = results_of(model.run, work), ours = results_of(compiled, work);
        check_same(ours, expected, "results");
        check_near(gradients_of(ours, work.leaves()), gradients_of(expected, work.leaves()), 4e-5);
      }
  }
}

TEST_CASE("cell matrix: gradients over a hundred steps") {
  for (const Model& model : standard_models()) {
    auto compiled = compile(model.run);
    for (int64_t batch : kBatches)
      for (int call = 0; call < 3; ++call) {
        INFO(model.name << ", batch " << batch);
        const Workload work(model, 100, batch, Wants::gradients);
        const Tensors expected = results_of(model.run, work), ours = results_of(compiled, work);
        check_same(ours, expected, "results");
        check_near(gradients_of(ours, work.leaves()), gradients_of(expected, work.leaves()), 2e-4);
      }
    CHECK_COMPILED(compiled.stats().backward_plan_runs >= 6);
  }
}

TEST_CASE("cell matrix: second gradients from outside") {
  for (const Model& model : standard_models()) {
    auto compiled = compile(model.run);
    for (int64_t batch : kBatches)
      for (int64_t steps : {7, 2, 1, 7}) {
        INFO(model.name << ", " << steps << " steps, batch " << batch);
        const Workload work(model, steps, batch, Wants::gradients);
        check_near(second_gradients(results_of(compiled, work), work.weights),
                   second_gradients(results_of(model.run, work), work.weights), 2e-4);
      }
  }
}

TEST_CASE("cell matrix: second gradients inside of the function, and of a gradient that it returns") {
  for (const Model& model : standard_models()) {
    const auto both_inside = [&](const Tensor& xs, const Tensors& state, const Tensors& weights) {
      return second_gradients(model.run(xs, state, weights), weights);
    };
    const auto first_inside = [&](const Tensor& xs, const Tensors& state, const Tensors& weights) {
      const Tensors results = model.run(xs, state, weights);
      const Tensor loss = sum(results[0] * results[0]);
      return grad(loss, weights, {.create_graph = true});
    };
    const auto then_outside = [](const Tensors& first, const Tensors& weights) {
      Tensor penalty = sum(first[0] * first[0]);
      for (size_t i = 1; i < first.size(); ++i) penalty = penalty + sum(first[i] * first[i]);
      return grad(penalty, weights);
    };
    auto compiled = compile(both_inside);
    auto compiled_first = compile(first_inside);
    for (int64_t batch : kBatches)
      for (int64_t steps : {7, 2, 1, 7}) {
        INFO(model.name << ", " << steps << " steps, batch " << batch);
        const Workload work(model, steps, batch, Wants::gradients);
        const Tensors expected = results_of(both_inside, work);
        check_near(results_of(compiled, work), expected, 2e-4);
        check_near(then_outside(results_of(compiled_first, work), work.weights), expected, 2e-4);
      }
    CHECK_COMPILED(compiled.stats().plan_runs >= 3);
    CHECK_COMPILED(compiled.stats().loop_runs >= 1);
  }
}

}  // namespace calque::cell_matrix
