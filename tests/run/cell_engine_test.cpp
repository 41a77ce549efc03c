// Loops of cells by every engine: rolled = unrolled = eager = the reference interpreter. What is interpreted is what was compiled,
// as dump() tells it: "trace" is the program step by step, "prepare" has its loop as one node.
#include <algorithm>
#include <numeric>
#include <optional>

#include "ir/graph/parser.h"
#include "runtime/kernels/isa.h"
#include "tests/run/cell_matrix.h"
#include "tests/support/child.h"
#include "tests/support/engines.h"

namespace calque::cell_matrix {

namespace {

/// The tensors that a graph's inputs may stand for, in every order in which their types fit. Words of the random generator are
/// known by the order of drawing.
class Assignments {
 public:
  Assignments(const Graph& graph, const Tensors& arguments, int64_t drawn_at_once) {
    int64_t counter = 0;
    for (size_t i = 0; i < graph.inputs().size(); ++i) {
      const Type type = graph.type(graph.inputs()[i]);
      if (type.dtype == DType::i64 && type.shape == Shape{2}) {
        chosen_.push_back(from_vector(std::vector<int64_t>{5, counter}));
        counter += drawn_at_once;
        continue;
      }
      chosen_.emplace_back();
      Group& group = group_of(type);
      group.places.push_back(i);
      if (!group.candidates.empty()) continue;
      for (const Tensor& argument : arguments)
        if (argument.dtype() == type.dtype && argument.shape() == type.shape) group.candidates.push_back(argument.detach());
    }
    for (Group& group : groups_) {
      is_possible_ = is_possible_ && group.places.size() <= group.candidates.size();
      group.order.resize(group.candidates.size());
      std::iota(group.order.begin(), group.order.end(), 0);
    }
  }

  /// Calls `fits(inputs)` until it says yes; gives the inputs with which it did.
  template <class Fits>
  std::optional<Tensors> find(Fits&& fits) {
    while (is_possible_) {
      for (const Group& group : groups_)
        for (size_t i = 0; i < group.places.size(); ++i) chosen_[group.places[i]] = group.candidates[group.order[i]];
      if (fits(chosen_)) return chosen_;
      is_possible_ = std::any_of(groups_.begin(), groups_.end(),
                                 [](Group& group) { return std::next_permutation(group.order.begin(), group.order.end()); });
    }
    return std::nullopt;
  }

 private:
  struct Group {
    Type type;
    std::vector<size_t> places, order;
    Tensors candidates;
  };
  Group& group_of(const Type& type) {
    for (Group& group : groups_)
      if (group.type == type) return group;
    return groups_.emplace_back(Group{type, {}, {}, {}});
  }

  std::vector<Group> groups_;
  Tensors chosen_;
  bool is_possible_ = true;
};

/// Whether each of `made` is one of `expected`, in every bit or within a bound of its largest element.
bool are_among(const Tensors& made, const Tensors& expected, double bound) {
  const NoGradGuard no_grad;
  const auto is_like = [&](const Tensor& a, const Tensor& b) {
    if (a.dtype() != b.dtype() || a.shape() != b.shape()) return false;
    if (bound == 0 || a.element_count() == 0) return same_bits(a, b.detach());
    return max(abs(a - b)).item() <= bound * max(abs(b)).item() + 1e-9;
  };
  return std::all_of(made.begin(), made.end(), [&](const Tensor& a) {
    return std::any_of(expected.begin(), expected.end(), [&](const Tensor& b) { return is_like(a, b); });
  });
}

Tensors all_arguments(const Workload& work) {
  Tensors all = work.leaves();
  for (Tensor& tensor : all) tensor = tensor.detach();
  return all;
}

/// Both graphs of what was compiled give `results`, interpreted.
void check_interpreted(const CompiledBase& compiled, const Workload& work, const Tensors& results, bool has_loop) {
  const std::string unrolled_text = compiled.dump("trace"), rolled_text = compiled.dump("prepare");
  REQUIRE_FALSE(rolled_text.empty());
  const Graph unrolled = parse(unrolled_text), rolled = parse(rolled_text);
  CHECK((rolled_text.find(" = loop ") != std::string::npos) == has_loop);
  CHECK(unrolled_text.find(" = loop ") == std::string::npos);
  REQUIRE(rolled.outputs().size() > 0);
  const int64_t drawn_at_once = work.xs.size(1) * kHidden;
  const std::optional<Tensors> inputs = Assignments(rolled, all_arguments(work), drawn_at_once).find([&](const Tensors& inputs) {
    return are_among(test::interpreted(rolled, inputs), results, 0);
  });
  CHECK(inputs);  // otherwise the interpreter gives nothing of what the program gave, whichever input is which
  if (inputs) CHECK(test::same_bits(test::interpreted(unrolled, *inputs), test::interpreted(rolled, *inputs)));
}

std::vector<Model> models_of_one_segment() {
  std::vector<Model> all = models();
  std::erase_if(all, [](const Model& model) { return model.reads_each_step; });
  return all;
}

}  // namespace

TEST_CASE("cell engines: the interpreter gives the results of the rolled loop and of the unrolled one") {
  if (!can_compile()) return;
  const NoGradGuard no_grad;
  for (const Model& model : models_of_one_segment())
    for (const int64_t batch : {1, 3, 16})
      for (const int64_t steps : {7, 2, 1, 0}) {
        INFO(model.name << ", " << steps << " steps, batch " << batch);
        const Workload work(model, steps, batch, Wants::nothing);
        auto compiled = compile(model.run, {.name = "cell"});
        Tensors results;
        for (int call = 0; call < 2; ++call) results = results_of(compiled, work);
        check_same(results, results_of(model.run, work), "results");
        REQUIRE(compiled.stats().plan_runs == 1);
        check_interpreted(compiled, work, results, steps > 2);
      }
}

TEST_CASE("cell engines: the interpreter on a hundred steps, which were compiled without unrolling them") {
  if (!can_compile()) return;
  const NoGradGuard no_grad;
  for (const Model& model : standard_models()) {
    INFO(model.name);
    const Workload work(model, 100, 3, Wants::nothing);
    auto compiled = compile(model.run, {.name = "cell"});
    Tensors results;
    for (int call = 0; call < 2; ++call) results = results_of(compiled, work);
    CHECK(compiled.stats().rolled_plans == 1);
    check_interpreted(compiled, work, results, true);
  }
}

TEST_CASE("cell engines: the interpreter on loops there and back, from a gradient inside") {
  if (!can_compile()) return;
  for (const Model& model : models_of_one_segment()) {
    INFO(model.name);
    const Workload work(model, 7, 3, Wants::gradients);
    const auto step = [&](const Tensor& xs, const Tensors& state, const Tensors& weights) {
      const Tensors results = model.run(xs, state, weights);
      const Tensor loss = mean(results[0] * results[0]);
      Tensors all = grad(loss, weights);
      all.push_back(loss.detach());
      return all;
    };
    auto compiled = compile(step, {.name = "cell"});
    Tensors results;
    for (int call = 0; call < 2; ++call) results = results_of(compiled, work);
    check_near(results, results_of(step, work), 4e-5);
    const Graph prepared = parse(compiled.dump("prepare"));
    CHECK(Assignments(prepared, all_arguments(work), 3 * kHidden).find([&](const Tensors& inputs) {
      return are_among(test::interpreted(prepared, inputs), results, 4e-5);
    }));
  }
}

// ---- in processes of their own ----

namespace {

/// Calls each model at these lengths, with gradients and without, and counts what ran.
CompileStats run_all_models(std::initializer_list<int64_t> lengths) {
  CompileStats total;
  for (const Model& model : models_of_one_segment())
    for (const Wants wants : {Wants::nothing, Wants::gradients}) {
      std::optional<NoGradGuard> no_grad;
      if (wants == Wants::nothing) no_grad.emplace();
      auto compiled = compile(model.run, {.name = "cell"});
      for (int64_t steps : lengths) {
        INFO(model.name << ", " << steps << " steps");
        const Workload work(model, steps, 3, wants);
        const Tensors expected = results_of(model.run, work), ours = results_of(compiled, work);
        check_same(ours, expected, "results");
        if (wants == Wants::gradients)
          check_near(gradients_of(ours, work.leaves()), gradients_of(expected, work.leaves()), 1e-4);
      }
      const CompileStats stats = compiled.stats();
      total.plan_runs += stats.plan_runs, total.loop_runs += stats.loop_runs, total.rolled_plans += stats.rolled_plans;
      total.backward_plan_runs += stats.backward_plan_runs;
    }
  return total;
}

/// A run of one hidden test case, which must succeed and warn of nothing. What is compiled differs between levels in its code
/// alone, so one level will do.
void check_child(const char* test, const char* setting) {
  if (kernels::isa_level() != kernels::IsaLevel::avx2) return;
  const test::Ended ended = test::run_program({test::own_program(), test}, {"CALQUE_CACHE=0", setting});
  INFO(ended.output << ended.errors);
  CHECK(ended.exit_code == 0);
  CHECK(ended.output.find("1 test case") != std::string::npos);
  CHECK(ended.warnings() == 0);
}

}  // namespace

TEST_CASE("hidden: cells whose plans are compared with unrolled ones", "[.]") {
  const CompileStats stats = run_all_models({7, 30, 7, 30, 12, 2, 1, 0});
  CHECK(stats.rolled_plans > 30);
  CHECK(stats.loop_runs > 80);
}

TEST_CASE("hidden: cells without rolling", "[.]") {
  const CompileStats stats = run_all_models({7, 7, 2, 2});
  CHECK(stats.rolled_plans == 0);
  CHECK(stats.loop_runs == 0);
  CHECK(stats.plan_runs > 60);
  CHECK(stats.backward_plan_runs > 30);
}

TEST_CASE("cell engines: CALQUE_VERIFY finds each rolled loop to be the unrolled one, and its results eager execution's") {
  check_child("hidden: cells whose plans are compared with unrolled ones", "CALQUE_VERIFY=1");
}

TEST_CASE("cell engines: unrolled loops give the same bits") {
  check_child("hidden: cells without rolling", "CALQUE_DISABLE_PASSES=roll");
}

}  // namespace calque::cell_matrix
