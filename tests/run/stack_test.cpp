// Products that share their right operand as one step of a plan: which are, and that they give the same bits.
#include "compiler/plan.h"
#include "compiler/plan_builder.h"
#include "ir/graph/parser.h"
#include "tests/run/match_harness.h"

using namespace calque;

namespace {

/// The plan of a graph of products alone, its inputs row-major.
Plan plan_of(const std::string& text) {
  Graph graph = parse(text);
  std::vector<InputLayout> layouts;
  for (const ValueId input : graph.inputs()) layouts.push_back({row_major_strides(graph.type(input).shape)});
  const std::vector<bool> fresh(graph.outputs().size(), true);
  return Plan(std::move(graph), {}, layouts, fresh);
}

/// How many results each step has that is a stack.
std::vector<size_t> stacks_of(const Plan& plan) {
  std::vector<size_t> results;
  for (const PlanStep& step : plan.steps())
    if (step.kind == PlanStep::Kind::stack) results.push_back(step.results.size());
  return results;
}

void check_results(Plan& plan, const Tensors& inputs, const Tensors& expected) {
  for (int call = 0; call < 3; ++call) {
    const PlanOutputs outputs = plan.run(inputs);
    check_same(Tensors(outputs.begin(), outputs.end()), expected, "results");
  }
}

const Tensor x = numbers({400, 256}, 0.1), h = numbers({400, 130}, -0.2), e = numbers({400, 400}, 0.3, 0.001);

}  // namespace

TEST_CASE("a stack: products of transposed operands with one right side, but not one that reads another's result") {
  Plan plan = plan_of(
      "graph @g(%x: f32[400,256], %h: f32[400,130], %e: f32[400,400]) -> (f32[256,400], f32[256,400], f32[130,400]) {\n"
      "  %0 = matmul %e, %e : f32[400,400]\n"
      "  %1 = permute %x {axes = [1, 0]} : f32[256,400]\n"
      "  %2 = matmul %1, %0 : f32[256,400]\n"
      "  %3 = matmul %2, %0 : f32[256,400]\n"
      "  %4 = permute %h {axes = [1, 0]} : f32[130,400]\n"
      "  %5 = matmul %4, %0 : f32[130,400]\n"
      "  return %2, %3, %5\n}\n");
  CHECK(stacks_of(plan) == std::vector<size_t>{2, 1});
  const Tensor g = matmul(e, e), first = matmul(transpose(x), g);
  check_results(plan, {x, h, e}, {first, matmul(first, g), matmul(transpose(h), g)});
}

TEST_CASE("no stack of several: products of different parts of a right side") {
  Plan plan = plan_of(
      "graph @g(%x: f32[400,256], %e: f32[400,400]) -> (f32[256,300], f32[256,300]) {\n"
      "  %0 = matmul %e, %e : f32[400,400]\n"
      "  %1 = permute %x {axes = [1, 0]} : f32[256,400]\n"
      "  %2 = slice %0 {axis = 1, start = 0, stop = 300} : f32[400,300]\n"
      "  %3 = matmul %1, %2 : f32[256,300]\n"
      "  %4 = slice %0 {axis = 1, start = 100, stop = 400} : f32[400,300]\n"
      "  %5 = matmul %1, %4 : f32[256,300]\n"
      "  return %3, %5\n}\n");
  CHECK(stacks_of(plan) == std::vector<size_t>{1, 1});
  const Tensor g = matmul(e, e);
  check_results(plan, {x, e}, {matmul(transpose(x), slice(g, 1, 0, 300)), matmul(transpose(x), slice(g, 1, 100, 400))});
}

TEST_CASE("no stack: products of few rows, and by a weight, which is packed once for many calls") {
  const Plan plan = plan_of(
      "graph @g(%x: f32[400,20], %h: f32[256,400], %e: f32[400,400]) -> (f32[20,400], f32[20,400], f32[256,400]) {\n"
      "  %0 = matmul %e, %e : f32[400,400]\n"
      "  %1 = permute %x {axes = [1, 0]} : f32[20,400]\n"
      "  %2 = matmul %1, %0 : f32[20,400]\n"
      "  %3 = matmul %1, %0 : f32[20,400]\n"
      "  %4 = matmul %h, %e : f32[256,400]\n"
      "  return %2, %3, %4\n}\n");
  CHECK(stacks_of(plan).empty());
}
