// Derivatives of cells: golden texts of forward and backward as they are executed, and gradients against
// differences.
//
// tests/ir/golden/derivatives/*.cq holds a program, then behind `// expect:` its lowered forward and
// backward. CALQUE_UPDATE_GOLDEN=1 writes the texts found as the expected ones.
#include <catch2/catch.hpp>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "ir/graph/interpreter.h"
#include "ir/graph/parser.h"
#include "ir/graph/printer.h"
#include "passes/pipeline.h"
#include "tests/ir/passes/programs.h"
#include "tests/ir/passes/reference.h"
#include "tests/ir/samples.h"

namespace calque::test {

namespace {

void check_golden(const std::filesystem::path& path) {
  std::stringstream stream;
  stream << std::ifstream(path).rdbuf();
  const std::string text = stream.str(), border = "// expect:\n";
  const size_t expect = text.find(border);
  REQUIRE(expect != std::string::npos);
  PassOptions options;
  options.verify = true;
  const Differentiation d = differentiate_all(prepare(parse(text.substr(0, expect)), options));
  const std::string found = print(lower(d.forward, options)) + print(lower(d.backward, options));
  if (std::getenv("CALQUE_UPDATE_GOLDEN"))
    std::ofstream(path) << text.substr(0, expect) << border << found;
  else
    CHECK(found == text.substr(expect + border.size()));
}

int count(const Graph& graph, Op op) {
  return static_cast<int>(std::ranges::count(graph.nodes(), op, &Node::op));
}
int count(const Graph& graph, Domain domain) {
  return static_cast<int>(std::ranges::count_if(graph.nodes(), [&](const Node& node) {
    return node.op == Op::fusion && node.attributes[0] == static_cast<int64_t>(domain);
  }));
}
bool only_products_fusions_and_views(const Graph& graph) {
  return std::ranges::all_of(graph.nodes(), [](const Node& node) {
    const OpKind kind = row(node.op).kind;
    return kind == OpKind::fusion || kind == OpKind::matmul || kind == OpKind::view;
  });
}

}  // namespace

TEST_CASE("golden derivatives", "[golden]") {
  std::vector<std::filesystem::path> paths;
  for (const auto& entry : std::filesystem::directory_iterator("tests/ir/golden/derivatives"))
    if (entry.path().extension() == ".cq") paths.push_back(entry.path());
  REQUIRE_FALSE(paths.empty());
  std::ranges::sort(paths);
  for (const auto& path : paths) {
    INFO(path.string());
    CHECK_NOTHROW(check_golden(path));
  }
}

TEST_CASE("the layer-norm LSTM is one product and one fusion, backward one of rows and one of columns") {
  const Differentiation d = differentiate_all(prepare(layer_norm_lstm(DType::f32, 16, 256, 256)));
  const Graph forward = lower(d.forward), backward = lower(d.backward);
  CHECK(forward.nodes().size() == 2);
  CHECK(count(forward, Op::product_sum) == 1);
  CHECK(count(forward, Domain::rows) == 1);
  CHECK(count(backward, Domain::rows) == 1);
  CHECK(count(backward, Domain::columns) == 1);
  CHECK(count(backward, Op::fusion) == 2);
  CHECK(count(backward, Op::matmul) == 4);
  CHECK(only_products_fusions_and_views(backward));
}

TEST_CASE("other cells fuse as well as the layer-norm LSTM") {
  for (const Graph& program :
       {lstm(DType::f32, 16, 256, 256), gru(DType::f32, 16, 256, 256), mlp_layer(DType::f32, 16, 256, 256)}) {
    const Differentiation d = differentiate_all(prepare(program));
    const Graph forward = lower(d.forward), backward = lower(d.backward);
    INFO(print(forward) << print(backward));
    CHECK(count(forward, Op::fusion) == 1);
    CHECK(count(backward, Domain::columns) == 1);
    CHECK(count(backward, Op::fusion) <= 3);  // a GRU adds a gradient to a product
    CHECK(only_products_fusions_and_views(forward));
    CHECK(only_products_fusions_and_views(backward));
  }
}

namespace {

/// The sum of every output element times its weight: what a gradient is the derivative of.
double weighted_sum(const Graph& program, std::span<const Literal> inputs, std::span<const Literal> weights) {
  double total = 0;
  const std::vector<Literal> outputs = interpret(program, inputs);
  for (size_t i = 0; i < outputs.size(); ++i)
    if (outputs[i].type.dtype == DType::f64)
      for (int64_t k = 0; k < outputs[i].size(); ++k)
        total += outputs[i].as<double>()[k] * weights[i].as<double>()[k];
  return total;
}

/// Central differences in f64. Inputs come from [0.3, 0.9), without ties, where every formula is smooth.
void check_differences(const Graph& program, std::mt19937& random) {
  std::vector<Literal> inputs = random_inputs(program, random);
  for (Literal& input : inputs) {
    if (input.type.dtype == DType::f64)
      for (double& x : input.as<double>()) x = 0.3 + 0.6 * static_cast<double>(random()) / 4294967296.0;
    if (input.type.dtype == DType::i64)
      for (int64_t& index : input.as<int64_t>()) index = static_cast<int64_t>(random() % 2);
    if (input.type.dtype == DType::i32)
      for (int32_t& index : input.as<int32_t>()) index = static_cast<int32_t>(random() % 2);
  }
  std::vector<Literal> weights;
  for (ValueId output : program.outputs()) weights.push_back(random_literal(program.type(output), random));
  const Differentiation d = differentiate_all(prepare(program));
  const std::vector<Literal> gradients =
      run_gradients(d, lower(d.forward), lower(d.backward), inputs, weights, program.outputs().size());
  constexpr double kStep = 1e-5;
  for (size_t i = 0; i < inputs.size(); ++i) {
    if (inputs[i].type.dtype != DType::f64) continue;
    for (int64_t k = 0; k < inputs[i].size(); ++k) {
      double& x = inputs[i].as<double>()[k];
      const double at = x;
      x = at + kStep;
      const double above = weighted_sum(program, inputs, weights);
      x = at - kStep;
      const double below = weighted_sum(program, inputs, weights);
      x = at;
      const double difference = (above - below) / (2 * kStep);
      const double gradient = gradients[i].bytes.empty() ? 0.0 : gradients[i].as<double>()[k];
      INFO("input " << i << ", element " << k << " of\n" << print(program));
      CHECK(std::fabs(gradient - difference) <= 1e-6 * (1 + std::fabs(difference)));
    }
  }
}

std::string replaced(std::string text, std::string_view from, std::string_view to) {
  for (size_t at = text.find(from); at != std::string::npos; at = text.find(from, at + to.size()))
    text.replace(at, from.size(), to);
  return text;
}

}  // namespace

TEST_CASE("gradients of every op agree with differences") {
  std::mt19937 random(3);
  for (int i = 0; i < kOpCount; ++i) {
    const Op op = static_cast<Op>(i);
    if (row(op).ir_only || op == Op::detach) continue;  // a detach has, by its meaning, another gradient
    for (const Graph& sample : sample_graphs(op)) {
      if (std::ranges::any_of(sample.nodes(), [](const Node& node) { return row(node.op).ir_only; }))
        continue;
      Graph program("none");
      try {
        program = parse(replaced(print(sample), "f32", "f64"));
      } catch (const UserError&) {
        continue;  // two samples of one op cast from f32 to f64
      }
      check_differences(program, random);
    }
  }
}

TEST_CASE("gradients of cells agree with differences") {
  std::mt19937 random(4);
  check_differences(layer_norm_lstm(DType::f64, 2, 3, 4), random);
  check_differences(lstm(DType::f64, 2, 3, 4), random);
  check_differences(gru(DType::f64, 2, 3, 4), random);
  check_differences(mlp_layer(DType::f64, 2, 3, 4), random);
  check_differences(classifier(DType::f64, 2, 3, 4), random);
  check_differences(unrolled_lstm(DType::f64, 3, 2, 3, 2), random);
}

TEST_CASE("contributions to a gradient are added in the order of the tape") {
  // 1e8 swallows 1 in f32, so each order of the four contributions gives another sum.
  const Graph program = parse(R"(graph @order(%x: f32[1]) -> (f32[1], f32[1]) {
    %0 = full {value = 100000000, dtype = f32, shape = []} : f32[]
    %1 = full {value = -100000000, dtype = f32, shape = []} : f32[]
    %2 = mul %x, %0 : f32[1]
    %3 = mul %x, %x : f32[1]
    %4 = mul %x, %1 : f32[1]
    %5 = add %2, %3 : f32[1]
    %6 = add %5, %4 : f32[1]
    return %6, %x
  })");
  const std::vector<Literal> inputs = {Literal::of<float>({1}, {1.5f})};
  const std::vector<Literal> output_gradients = {Literal::of<float>({1}, {1.0f}),
                                                 Literal::of<float>({1}, {0.25f})};
  const Differentiation d = differentiate_all(program);
  const std::vector<Literal> gradients =
      run_gradients(d, lower(d.forward), lower(d.backward), inputs, output_gradients, 2);
  // the output's own first, then the nodes from the last to the first
  const float expected = (((0.25f + -1e8f) + 1.5f) + 1.5f) + 1e8f;
  CHECK(gradients[0].as<float>()[0] == expected);
  CHECK(same_bits(gradients, tape_gradients(program, inputs, output_gradients)));
}

TEST_CASE("outputs that are inputs or given twice") {
  const Graph program = parse(R"(graph @pass(%x: f32[2], %y: f32[2]) -> (f32[2], f32[2], f32[2]) {
    %0 = exp %x : f32[2]
    return %0, %y, %0
  })");
  const Differentiation d = differentiate_all(program);
  CHECK(d.wanted == std::vector<int>{0, 1});
  CHECK(d.backward.is_input(d.backward.outputs()[1]));
  const std::vector<Literal> inputs = {Literal::of<float>({2}, {0, 1}), Literal::of<float>({2}, {2, 3})};
  const std::vector<Literal> output_gradients = {
      Literal::of<float>({2}, {1, 2}), Literal::of<float>({2}, {3, 4}), Literal::of<float>({2}, {5, 6})};
  CHECK(same_bits(run_gradients(d, d.forward, d.backward, inputs, output_gradients, 3),
                  tape_gradients(program, inputs, output_gradients)));
}

TEST_CASE("only what is asked for is differentiated") {
  const Graph program = parse(R"(graph @two(%x: f32[2], %i: i64[2], %w: f32[2]) -> (f32[2], f32[2]) {
    %0 = mul %x, %w : f32[2]
    %1 = exp %w : f32[2]
    return %0, %1
  })");
  const bool only_x[] = {true, true, false}, both[] = {true, true};
  const Differentiation d = differentiate(program, only_x, both);
  using Source = Differentiation::Source;
  CHECK(d.wanted == std::vector<int>{0});
  CHECK(d.sources == std::vector<Source>{{Differentiation::SourceKind::input, 2},
                                         {Differentiation::SourceKind::output_gradient, 0}});
  const bool all[] = {true, true, true}, none[] = {false, false};
  const Differentiation nothing = differentiate(program, all, none);
  CHECK(nothing.wanted.empty());
  CHECK(nothing.sources.empty());
  CHECK(nothing.forward.outputs().size() == 2);
}

TEST_CASE("of an input or output that no rule reads nothing is recomputed") {
  // The tape would not notice a write to %b, %c or the output, so the backward must not read them.
  const Graph program = parse(R"(graph @sums(%a: f32[4], %b: f32[4], %c: f32[4]) -> (f32[4], f32[4]) {
    %0 = add %b, %c : f32[4]
    %1 = neg %0 : f32[4]
    %2 = mul %a, %1 : f32[4]
    return %2, %0
  })");
  const Differentiation d = differentiate_all(program);
  for (const Differentiation::Source& source : d.sources) {
    if (source.kind == Differentiation::SourceKind::input) CHECK(source.index == 0);
    if (source.kind == Differentiation::SourceKind::saved)
      CHECK(d.forward.outputs()[2 + source.index] != d.forward.outputs()[1]);
  }
}

TEST_CASE("a view of an input that no rule reads is not read either") {
  // cross entropy compares a reshape of the targets, which a training loop may overwrite before backward
  const Differentiation d = differentiate_all(prepare(classifier(DType::f32, 4, 3, 5)));
  for (const Differentiation::Source& source : d.sources)
    if (source.kind == Differentiation::SourceKind::saved)
      CHECK(d.forward.type(d.forward.outputs()[1 + source.index]).dtype != DType::i64);
}

TEST_CASE("what is saved is small") {
  // relu reads where its operand is positive: one byte an element instead of four.
  const Differentiation layer = differentiate_all(prepare(mlp_layer(DType::f32, 16, 256, 128)));
  REQUIRE(layer.forward.outputs().size() == 2);
  CHECK(layer.forward.type(layer.forward.outputs()[1]) == Type{DType::boolean, {16, 128}});
  // layer norm keeps the centred rows and their scales, each gate what its formula costs, and nothing twice
  const Differentiation cell = differentiate_all(prepare(layer_norm_lstm(DType::f32, 16, 256, 256)));
  int64_t bytes = 0;
  for (size_t i = 2; i < cell.forward.outputs().size(); ++i) {
    const Type& type = cell.forward.type(cell.forward.outputs()[i]);
    bytes += type.shape.element_count() * static_cast<int64_t>(size_of(type.dtype));
  }
  CHECK(bytes == 4 * (16 * 1024 + 16 + 5 * 16 * 256));
}

}  // namespace calque::test
