// The generated matrix: every row of the op table, over dtypes, layouts and values, gives the same bits in
// eager execution, in the reference interpreter and as compiled code; and prints as text that parses to
// itself.
#include <catch2/catch.hpp>

#include <array>
#include <bit>
#include <cmath>
#include <cstdio>
#include <functional>
#include <limits>
#include <map>
#include <utility>

#include "ir/graph/parser.h"
#include "ir/graph/printer.h"
#include "ir/graph/verifier.h"
#include "passes/pipeline.h"
#include "tests/support/engines.h"
#include "tests/support/op_cases.h"
#include "tests/support/random_program.h"

using namespace calque;
using namespace calque::test;

namespace {

enum class Check { interpreter, compiled, kernel, text, count_ };
constexpr int kCheckCount = static_cast<int>(Check::count_);
constexpr const char* kCheckNames[] = {"interpreter", "compiled", "kernel", "text"};

/// How many cases of each row passed through each check, and how many there were of each aspect.
struct Coverage {
  std::array<std::array<int, kCheckCount>, kOpCount> checks{};
  std::array<std::array<int, kAspectCount>, kOpCount> aspects{};

  int& operator()(Op op, Check check) { return checks[static_cast<int>(op)][static_cast<int>(check)]; }
  int& operator()(Op op, Aspect aspect) { return aspects[static_cast<int>(op)][static_cast<int>(aspect)]; }
};

Coverage& coverage() {
  static Coverage instance;
  return instance;
}

/// Ops that become a kernel of their own wherever they are not empty: elementwise ones whose operands line up
/// as rows.
bool must_launch(const OpCase& c) {
  const bool is_no_work = c.op == Op::cast && c.inputs[0].dtype() == c.attributes.dtype(0);
  return row(c.op).kind == OpKind::elementwise && !is_no_work && c.aspect != Aspect::empty &&
         c.aspect != Aspect::broadcast;
}

void check_text(const Graph& graph) {
  const std::string text = print(graph);
  CHECK(print(parse(text)) == text);
  CHECK(equal(parse(text), graph));
}

/// Three calls of a compiled function give `expected`, the second and third as compiled code. Returns the
/// launches.
uint64_t check_compiled(const std::function<std::vector<Tensor>(std::span<const Tensor>)>& function,
                        std::span<const Tensor> inputs, std::span<const Tensor> expected) {
  auto compiled = compile(function, {.name = "case"});
  for (int call = 0; call < 3; ++call) {
    const std::vector<Tensor> results = compiled(inputs);
    INFO("call " << call << ": " << first_difference(results, expected));
    CHECK(same_bits(results, expected));
  }
  const CompileStats stats = compiled.stats();
  CHECK(stats.calls == 3);
  if (can_compile()) {
    CHECK(stats.plan_runs == 2);
    CHECK(stats.recorded_calls == 1);
  } else {
    CHECK(stats.plan_runs == 0);
  }
  return stats.kernel_launches;
}

void check_case(const OpCase& c) {
  INFO(c.describe());
  const std::vector<Tensor> eager = run_op(c.op, c.inputs, c.attributes);
  const Graph graph = graph_of(c.op, c.inputs, c.attributes);
  verify(graph);
  const std::vector<Tensor> reference = interpreted(graph, c.inputs);
  {
    INFO("interpreter: " << first_difference(eager, reference));
    CHECK(same_bits(eager, reference));
  }
  const uint64_t launches = check_compiled(
      [&](std::span<const Tensor> inputs) { return run_op(c.op, inputs, c.attributes); }, c.inputs, eager);
  if (can_compile() && must_launch(c)) CHECK(launches >= 2);
  check_text(graph);
  ++coverage()(c.op, c.aspect);
  ++coverage()(c.op, Check::interpreter);
  ++coverage()(c.op, Check::compiled);
  ++coverage()(c.op, Check::text);
  coverage()(c.op, Check::kernel) += launches > 0;
}

void check_kind(OpKind kind) {
  for (int i = 0; i < kOpCount; ++i) {
    const Op op = static_cast<Op>(i);
    if (row(op).kind != kind || row(op).ir_only) continue;
    const std::vector<OpCase> cases = op_cases(op);
    {
      INFO(row(op).name << " has no case: add one to tests/support/op_cases.h");
      REQUIRE(!cases.empty());
    }
    for (const OpCase& c : cases) check_case(c);
  }
}

/// A bit for each kind of value that no rule may overlook.
template <class T>
unsigned kind_of_special(T x) {
  if (std::isnan(x)) return 1;
  if (std::isinf(x)) return x > 0 ? 2 : 4;
  if (x == 0) return std::signbit(x) ? 8 : 0;
  return std::fabs(x) >= std::numeric_limits<T>::min() ? 0 : x > 0 ? 16 : 32;
}
constexpr unsigned kEverySpecial = 63;

/// All kinds that are among the elements; none where these are no floats.
unsigned specials_of(const Tensor& x) {
  unsigned kinds = 0;
  with_element_type(x.dtype(), [&]<class T>(T) {
    if constexpr (std::is_floating_point_v<T>)
      for (T element : x.to_vector<T>()) kinds |= kind_of_special(element);
  });
  return kinds;
}

/// What the compiler makes of a program: as compiled, and as the interpreter sees the lowered graph.
void check_program(const Graph& graph, std::span<const Tensor> inputs, Op made_by_passes) {
  const std::vector<Tensor> eager = run_eagerly(graph, inputs), reference = interpreted(graph, inputs);
  INFO(print(graph) << first_difference(eager, reference));
  CHECK(same_bits(eager, reference));
  const Graph lowered = lower(prepare(graph));
  verify(lowered);
  check_text(lowered);
  const std::vector<Tensor> of_lowered = interpreted(lowered, inputs);
  INFO("lowered: " << first_difference(of_lowered, reference));
  CHECK(same_bits(of_lowered, reference));
  const uint64_t launches =
      check_compiled([&](std::span<const Tensor> in) { return run_eagerly(graph, in); }, inputs, eager);
  const auto is_it = [&](const Node& node) { return node.op == made_by_passes; };
  if (std::none_of(lowered.nodes().begin(), lowered.nodes().end(), is_it)) return;
  for (Check check : {Check::interpreter, Check::compiled, Check::text}) ++coverage()(made_by_passes, check);
  coverage()(made_by_passes, Check::kernel) += launches > 0;
}

/// Why a row has no count in a column; empty when it should have one.
std::string reason_without(Op op, Check check) {
  const OpKind kind = row(op).kind;
  if (check != Check::kernel) return "";
  if (!can_compile()) return "baseline";
  if (kind == OpKind::view || kind == OpKind::creation) return "no work";  // index maps; constants alone
  if (kind == OpKind::matmul) return "gemm";
  if (kind == OpKind::loop) return "its block";
  if (kind == OpKind::indexing || op == Op::argmax || op == Op::argmin || op == Op::flip || op == Op::index_select) return "native";
  return "";
}

std::string reason_without_broadcast(Op op) {
  const OpRow& entry = row(op);
  if (entry.kind == OpKind::creation) return "no operand";
  if (op == Op::expand) return "";
  if (entry.inputs == 1) return "one operand";
  if (op == Op::concat || entry.kind == OpKind::indexing) return "tied sizes";
  if (op == Op::index_select || op == Op::cross_entropy) return "tied sizes";
  return op == Op::dropout ? "a state" : "";
}

std::string reason_without(Op op, Aspect aspect) {
  const OpRow& entry = row(op);
  if (entry.ir_only) return "programs";
  if (entry.kind == OpKind::creation && (aspect == Aspect::strided || aspect == Aspect::special))
    return "no operand";
  if (aspect == Aspect::broadcast) return reason_without_broadcast(op);
  const bool is_loss = op == Op::cross_entropy || op == Op::mse_loss || op == Op::binary_cross_entropy_with_logits;
  if (is_loss && aspect == Aspect::empty) return "mean of none";
  return "";
}

template <class Column>
void print_cell(Op op, Column column) {
  const int count = coverage()(op, column);
  const std::string text = count ? std::to_string(count) : reason_without(op, column);
  std::printf(" %-11s", text.empty() ? "EMPTY" : text.c_str());
  INFO(row(op).name << " column " << static_cast<int>(column));
  CHECK(!text.empty());
}

}  // namespace

TEST_CASE("matrix: elementwise rows", "[matrix]") { check_kind(OpKind::elementwise); }
TEST_CASE("matrix: reductions", "[matrix]") { check_kind(OpKind::reduction); }
TEST_CASE("matrix: views", "[matrix]") { check_kind(OpKind::view); }
TEST_CASE("matrix: products", "[matrix]") { check_kind(OpKind::matmul); }
TEST_CASE("matrix: structural rows", "[matrix]") { check_kind(OpKind::structural); }
TEST_CASE("matrix: rows of indices", "[matrix]") { check_kind(OpKind::indexing); }
TEST_CASE("matrix: creation", "[matrix]") { check_kind(OpKind::creation); }
TEST_CASE("matrix: composites", "[matrix]") { check_kind(OpKind::composite); }

TEST_CASE("matrix: cases of special values hold NaN, infinities, minus zero and subnormals", "[matrix]") {
  for (int i = 0; i < kOpCount; ++i) {
    const Op op = static_cast<Op>(i);
    if (row(op).ir_only) continue;
    std::map<std::pair<size_t, DType>, unsigned> by_operand;  // of all cases
    for (const OpCase& c : op_cases(op)) {
      unsigned in_case = 0;
      bool has_floats = false;
      for (size_t k = 0; k < c.inputs.size(); ++k) {
        if (!is_floating(c.inputs[k].dtype())) continue;
        has_floats = true;
        const unsigned kinds = c.aspect == Aspect::special ? specials_of(c.inputs[k]) : 0;
        in_case |= kinds;
        by_operand[{std::min<size_t>(k, 2), c.inputs[k].dtype()}] |= kinds;
      }
      INFO(c.describe() << ": kinds " << in_case);
      if (has_floats && c.aspect == Aspect::special) CHECK((in_case == kEverySpecial || std::has_single_bit(in_case)));
    }
    for (const auto& [place, kinds] : by_operand) {
      INFO(row(op).name << " operand " << place.first << " of " << name(place.second) << ": kinds " << kinds);
      CHECK(kinds == kEverySpecial);
    }
  }
}

TEST_CASE("matrix: random programs", "[matrix]") {
  for (uint64_t seed = 1; seed <= 80; ++seed) {
    INFO("seed " << seed);
    const Graph graph =
        RandomProgram(seed, seed % 3 == 0 ? DType::f64 : DType::f32).build(3 + static_cast<int>(seed % 9));
    check_program(graph, inputs_for(graph, seed * 100), Op::fusion);
  }
}

TEST_CASE("matrix: sums of products", "[matrix]") {
  for (DType dtype : kFloats)
    for (int64_t n : {1, 7, 48, 70}) {
      Graph graph("sums");
      const ValueId a = graph.add_input({dtype, {5, 9}}), b = graph.add_input({dtype, {9, n}}),
                    c = graph.add_input({dtype, {5, 33}}), d = graph.add_input({dtype, {33, n}});
      const ValueId first[] = {a, b}, second[] = {c, d};
      const ValueId terms[] = {graph.add(Op::matmul, first).result(), graph.add(Op::matmul, second).result()};
      const ValueId total[] = {graph.add(Op::add, terms).result()};
      graph.set_outputs({graph.add(Op::tanh, total).result()});
      check_program(graph, inputs_for(graph, static_cast<uint64_t>(n)), Op::product_sum);
    }
}

TEST_CASE("matrix: loops", "[matrix]") {
  for (DType dtype : kFloats)
    for (int64_t steps : {3, 8}) {
      Graph graph("loop");
      const ValueId xs = graph.add_input({dtype, {steps, 5}}), w = graph.add_input({dtype, {5}});
      ValueId state = graph.add_input({dtype, {1, 5}});
      for (int64_t t = 0; t < steps; ++t) {
        const ValueId sequence[] = {xs};
        const ValueId step = graph.add(Op::slice, sequence, Attributes::of(int64_t{0}, t, t + 1)).result();
        const ValueId factors[] = {state, w};
        const ValueId terms[] = {step, graph.add(Op::mul, factors).result()};
        const ValueId sum[] = {graph.add(Op::add, terms).result()};
        state = graph.add(Op::tanh, sum).result();
      }
      graph.set_outputs({state});
      check_program(graph, inputs_for(graph, static_cast<uint64_t>(steps)), Op::loop);
    }
}

TEST_CASE("matrix: gradients", "[matrix]") {
  for (DType dtype : kFloats)
    for (const bool create_graph : {false, true}) {
      Graph graph("gradient");
      const ValueId x = graph.add_input({dtype, {3, 5}}), w = graph.add_input({dtype, {5}}), weight = graph.add_input({dtype, {3, 5}});
      const ValueId factors[] = {x, w};
      const ValueId product[] = {graph.add(Op::mul, factors).result()};
      const ValueId normal[] = {graph.add(Op::tanh, product).result()};
      const ValueId operands[] = {graph.add(Op::layer_norm, normal, Attributes::of(1e-5)).result(), weight, x, product[0], w};
      const Node& gradient = graph.add(Op::grad, operands, Attributes::of(int64_t{1}, create_graph));
      graph.set_outputs({gradient.result(0), gradient.result(1), gradient.result(2)});
      std::vector<Tensor> inputs = inputs_for(graph, 5);
      for (Tensor& input : inputs) input.set_requires_grad();
      const std::vector<Tensor> eager = run_eagerly(graph, inputs),
                                reference = interpreted(run_passes(graph, "expand_composites,expand_gradients"), inputs);
      INFO(print(graph) << first_difference(eager, reference));
      CHECK(same_bits(eager, reference));
      check_text(graph);
      const uint64_t launches =
          check_compiled([&](std::span<const Tensor> in) { return run_eagerly(graph, in); }, inputs, eager);
      for (Check check : {Check::interpreter, Check::compiled, Check::text}) ++coverage()(Op::grad, check);
      coverage()(Op::grad, Check::kernel) += launches > 0;
    }
}

// Last in this file: Catch runs test cases in the order of their definition. Counts are there only if those
// above ran.
TEST_CASE("matrix: coverage", "[matrix]") {
  if (coverage()(Op::add, Check::compiled) == 0) {
    WARN("the matrix did not run in this process; run with the tag [matrix]");
    return;
  }
  std::printf("%-14s", "op");
  for (const char* name : kCheckNames) std::printf(" %-11s", name);
  for (const char* name : kAspectNames) std::printf(" %-11s", name);
  std::printf("\n");
  for (int i = 0; i < kOpCount; ++i) {
    const Op op = static_cast<Op>(i);
    std::printf("%-14s", row(op).name);
    for (int c = 0; c < kCheckCount; ++c) print_cell(op, static_cast<Check>(c));
    for (int a = 0; a < kAspectCount; ++a) print_cell(op, static_cast<Aspect>(a));
    std::printf("\n");
  }
}
