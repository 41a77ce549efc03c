// Gradients by the graph: every differentiable row and random programs, differentiated by passes/autodiff.h
// and run by the reference interpreter, give the bits of the eager tape; so do compiled regions.
#include <catch2/catch.hpp>

#include <algorithm>
#include <cstdio>
#include <functional>
#include <memory>
#include <string>

#include "calque/autograd.h"
#include "ir/graph/printer.h"
#include "passes/autodiff.h"
#include "passes/pipeline.h"
#include "tests/support/engines.h"
#include "tests/support/gradient_reasons.h"
#include "tests/support/random_program.h"

using namespace calque;
using namespace calque::test;

namespace {

/// The gradient to start from, one for each result.
std::vector<Tensor> seeds_for(std::span<const Tensor> results) {
  std::vector<Tensor> seeds;
  for (const Tensor& result : results)
    seeds.push_back(ordinary_tensor({result.dtype(), result.shape()}, 1000 + seeds.size()));
  return seeds;
}

using Function = std::function<std::vector<Tensor>(std::span<const Tensor>)>;

/// Gradients of the floating inputs on the tape, zeros for those that get none.
std::vector<Tensor> tape_gradients(const Function& function, std::span<const Tensor> given,
                                   std::span<const Tensor> seeds) {
  std::vector<Tensor> inputs, leaves;
  for (const Tensor& input : given) {
    inputs.push_back(input.detach());
    if (is_floating(input.dtype())) leaves.push_back(inputs.back().set_requires_grad());
  }
  return grad(function(inputs), leaves, {.output_gradients = seeds});
}

/// Forward and backward graph of a program whose floating inputs require grad.
Differentiation differentiated(const Graph& graph) {
  const Graph program = prepare(graph);
  const size_t count = program.inputs().size(), outputs = program.outputs().size();
  const auto requires_grad = std::make_unique<bool[]>(count),
             has_gradient = std::make_unique<bool[]>(outputs);
  for (size_t i = 0; i < count; ++i) requires_grad[i] = is_floating(program.type(program.inputs()[i]).dtype);
  std::fill_n(has_gradient.get(), outputs, true);
  return differentiate(program, {requires_grad.get(), count}, {has_gradient.get(), outputs});
}

/// The gradients from those graphs, run by the interpreter; lowered first if asked for.
std::vector<Tensor> graph_gradients(const Graph& graph, std::span<const Tensor> inputs,
                                    std::span<const Tensor> seeds, bool is_lowered) {
  const Differentiation parts = differentiated(graph);
  const size_t outputs = graph.outputs().size();
  const std::vector<Tensor> forward = interpreted(is_lowered ? lower(parts.forward) : parts.forward, inputs);
  std::vector<Tensor> sources;
  for (const Differentiation::Source& source : parts.sources) {
    switch (source.kind) {
      case Differentiation::SourceKind::input:
        sources.push_back(inputs[source.index]);
        break;
      case Differentiation::SourceKind::saved:
        sources.push_back(forward[outputs + source.index]);
        break;
      case Differentiation::SourceKind::output_gradient:
        sources.push_back(seeds[source.index]);
        break;
    }
  }
  const std::vector<Tensor> found = interpreted(is_lowered ? lower(parts.backward) : parts.backward, sources);
  std::vector<Tensor> gradients;
  for (int i = 0; i < static_cast<int>(inputs.size()); ++i) {
    if (!is_floating(inputs[i].dtype())) continue;
    const auto wanted = std::find(parts.wanted.begin(), parts.wanted.end(), i);
    gradients.push_back(wanted == parts.wanted.end() ? zeros(inputs[i].shape(), inputs[i].dtype())
                                                     : found[wanted - parts.wanted.begin()]);
  }
  return gradients;
}

/// Whether a floating input has a say in a floating result, so that the tape records the op.
bool is_recorded(const OpCase& c) {
  bool any = false;
  for (const Tensor& input : c.inputs) any |= is_floating(input.dtype());
  if (!any || c.op == Op::detach) return false;
  const std::vector<Tensor> results = run_op(c.op, c.inputs, c.attributes);
  return is_floating(results[0].dtype());
}

}  // namespace

TEST_CASE("the interpreter runs differentiated graphs to the bits of the eager tape", "[autodiff]") {
  int rows_checked = 0;
  for (int i = 0; i < kOpCount; ++i) {
    const Op op = static_cast<Op>(i);
    int checked = 0;
    for (const OpCase& c : op_cases(op)) {
      if (!is_recorded(c)) continue;
      INFO(c.describe());
      const std::vector<Tensor> seeds = seeds_for(run_op(c.op, c.inputs, c.attributes));
      const auto function = [&](std::span<const Tensor> inputs) {
        return run_op(c.op, inputs, c.attributes);
      };
      const std::vector<Tensor> tape = tape_gradients(function, c.inputs, seeds);
      const std::vector<Tensor> graph =
          graph_gradients(graph_of(c.op, c.inputs, c.attributes), c.inputs, seeds, false);
      INFO(first_difference(tape, graph));
      CHECK(same_bits(tape, graph));
      ++checked;
    }
    const std::string reason = reason_without_record(op);
    std::printf("%-14s %d gradients%s%s\n", row(op).name, checked, reason.empty() ? "" : ": ", reason.c_str());
    rows_checked += checked > 0;
    INFO(row(op).name);
    CHECK((checked > 0) == reason.empty());
  }
  CHECK(rows_checked > 30);
}

TEST_CASE("gradients of random programs: tape, differentiated graph, lowered graph and compiled region",
          "[autodiff]") {
  int with_backward = 0;
  for (uint64_t seed = 1; seed <= 60; ++seed) {
    const Graph graph =
        RandomProgram(seed, seed % 3 == 0 ? DType::f64 : DType::f32).build(3 + static_cast<int>(seed % 7));
    INFO("seed " << seed << "\n" << print(graph));
    const std::vector<Tensor> inputs = inputs_for(graph, seed * 100);
    const auto function = [&](std::span<const Tensor> in) { return run_eagerly(graph, in); };
    const std::vector<Tensor> seeds = seeds_for(function(inputs)),
                              tape = tape_gradients(function, inputs, seeds);
    for (bool is_lowered : {false, true}) {
      const std::vector<Tensor> found = graph_gradients(graph, inputs, seeds, is_lowered);
      INFO((is_lowered ? "lowered: " : "graph: ") << first_difference(tape, found));
      CHECK(same_bits(tape, found));
    }
    auto compiled = compile(function);
    for (int call = 0; call < 3; ++call) {
      const std::vector<Tensor> found =
          tape_gradients([&](std::span<const Tensor> in) { return compiled(in); }, inputs, seeds);
      INFO("compiled, call " << call << ": " << first_difference(tape, found));
      CHECK(same_bits(tape, found));
    }
    // A program of which no output depends smoothly on an input (only floors of it) has no backward to
    // compile.
    const bool has_backward = !differentiated(graph).wanted.empty();
    with_backward += has_backward;
    if (can_compile()) CHECK(compiled.stats().backward_plan_runs == (has_backward ? 2 : 0));
  }
  CHECK(with_backward > 50);
}
