// Kernels that go on with the columns of the matrix products in front of them: which may, and that they give
// the same bits.
#include "compiler/epilogue.h"
#include "compiler/plan.h"
#include "ir/graph/parser.h"
#include "tests/run/match_harness.h"
#include "tests/support/threads.h"

using namespace calque;

namespace {

/// The kernel of the graph's last node, its operands each in a buffer of its own.
PlanStep kernel_of(const Graph& graph) {
  const Node& fusion = graph.nodes().back();
  PlanStep step;
  step.kind = PlanStep::Kind::kernel;
  step.rows = fusion.attributes[1];
  step.columns = fusion.attributes[2];
  for (ValueId input : fusion.inputs) {
    const Type& type = graph.type(input);
    Place place{static_cast<int>(step.inputs.size()), type, {}, 0};
    place.strides[0] = type.shape[1];
    place.strides[1] = 1;
    step.inputs.push_back(place);
  }
  return step;
}

bool follows(const std::string& body, int64_t part_columns) {
  const Graph graph = parse(
      "graph @g(%p: f32[4,256], %c: f32[4,64]) -> (f32[4,64]) {\n"
      "  %0 = fusion %p, %c {domain = 1, rows = 4, columns = 256} : f32[4,64] (%x0: f32[4,256], %x1: "
      "f32[4,64]) {\n" +
      body + "  }\n  return %0\n}\n");
  const PlanStep kernel = kernel_of(graph);
  return reads_by_parts(kernel, *graph.nodes().back().body, kernel.inputs[0], part_columns);
}

/// Wide enough that its parts are computed one by one; `hidden` is the width of a gate.
constexpr int64_t kRows = 64;
Tensors cell_inputs(int call, int64_t hidden, int64_t gates) {
  return {numbers({kRows, 24}, 0.01 * call),
          numbers({kRows, hidden}, -0.4),
          numbers({kRows, hidden}, 0.2),
          numbers({24, gates * hidden}, -0.3, 0.03),
          numbers({hidden, gates * hidden}, 0.1, -0.02),
          numbers({gates * hidden})};
}

Tensors lstm_cell(const Tensors& in) {
  const auto [i, f, g, o] = split<4>(matmul(in[0], in[3]) + matmul(in[1], in[4]) + in[5]);
  const Tensor c = sigmoid(f) * in[2] + sigmoid(i) * tanh(g);
  return {sigmoid(o) * tanh(c), c};
}

/// Two products, joined only by the kernel.
Tensors gru(const Tensors& in) {
  const auto [xr, xz, xn] = split<3>(matmul(in[0], in[3]) + in[5]);
  const auto [hr, hz, hn] = split<3>(matmul(in[1], in[4]));
  const Tensor z = sigmoid(xz + hz);
  return {z * in[1] + (1.0 - z) * tanh(xn + sigmoid(xr + hr) * hn)};
}

/// A product of the first product's result: it needs all columns of that.
Tensors chained(const Tensors& in) {
  const Tensor first = matmul(in[1], slice(in[4], 1, 0, in[1].size(1)));
  return {tanh(first) + matmul(first, slice(in[4], 1, 0, in[1].size(1)))};
}

template <class Function>
void check_cell(Function function, int64_t gates) {
  for (int team : {1, 2, 3})
    for (int64_t hidden : {64, 200, 208, 512}) {
      INFO(team << " threads, " << hidden << " wide");
      const test::Threads threads(team);
      const CompileStats stats = same_as_plain([&] { return function; },
                                               [&](int call) { return cell_inputs(call, hidden, gates); }, 4);
      CHECK_COMPILED(stats.plan_runs == 3);
    }
}

}  // namespace

TEST_CASE("a kernel follows a product whose gates it reads column by column") {
  CHECK(
      follows("      %0 = split %x0 {parts = 4, axis = 1} : (f32[4,64], f32[4,64], f32[4,64], f32[4,64])\n"
              "      %1 = add %0.0, %0.3 : f32[4,64]\n      %2 = mul %1, %x1 : f32[4,64]\n      return %2\n",
              64));
  CHECK(
      follows("      %0 = tanh %x0 : f32[4,256]\n      %1 = slice %0 {axis = 1, start = 128, stop = 192} : "
              "f32[4,64]\n"
              "      %2 = mul %1, %x1 : f32[4,64]\n      return %2\n",
              64));
}

TEST_CASE("a kernel does not follow a product whose columns it reads out of step") {
  CHECK_FALSE(
      follows("      %0 = slice %x0 {axis = 1, start = 32, stop = 96} : f32[4,64]\n"
              "      %1 = mul %0, %x1 : f32[4,64]\n      return %1\n",
              64));
  CHECK_FALSE(
      follows("      %0 = sum %x0 {keepdim = true, axes = [1]} : f32[4,1]\n"
              "      %1 = mul %0, %x1 : f32[4,64]\n      return %1\n",
              0));
}

TEST_CASE("cells that go on with their products' columns give the bits of eager execution") {
  check_cell(lstm_cell, 4);
  check_cell(gru, 3);
  check_cell(chained, 3);
}
