// The interpreter against expectations written by hand and naive computations in double.
#include <catch2/catch.hpp>

#include <bit>
#include <cmath>
#include <limits>
#include <numeric>
#include <random>

#include "ir/graph/interpreter.h"
#include "ir/graph/parser.h"
#include "ir/graph/verifier.h"
#include "passes/pipeline.h"
#include "tests/ir/samples.h"

using namespace calque;

namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

/// Runs one op on literals.
std::vector<Literal> run(Op op, std::initializer_list<Literal> inputs, Attributes attributes = {}) {
  InterpreterEmitter emitter;
  std::vector<Value> values;
  for (const Literal& input : inputs) values.push_back(emitter.add(input));
  std::vector<Literal> results;
  for (const Value& value : emitter.emit(op, values, attributes)) results.push_back(emitter.literal(value));
  return results;
}

template <class T>
Literal of(const Shape& shape, std::initializer_list<T> values) {
  return Literal::of<T>(shape, values);
}
template <class T>
Literal vector(std::initializer_list<T> values) {
  return Literal::of<T>({static_cast<int64_t>(values.size())}, values);
}
template <class T>
Literal random_literal(const Shape& shape, uint32_t seed) {
  std::mt19937 random(seed);
  std::uniform_real_distribution<double> distribution(-2, 2);
  Literal literal(Type{dtype_of<T>, shape});
  for (T& element : literal.as<T>()) element = static_cast<T>(distribution(random));
  return literal;
}
/// 0, 1, 2, ... in a shape.
Literal counted(const Shape& shape) {
  Literal literal(Type{DType::f32, shape});
  std::iota(literal.as<float>().begin(), literal.as<float>().end(), 0.0f);
  return literal;
}

}  // namespace

TEST_CASE("integers wrap", "[interpreter]") {
  CHECK(run(Op::add, {vector<int32_t>({INT32_MAX, 1}), vector<int32_t>({1, 2})})[0] ==
        vector<int32_t>({INT32_MIN, 3}));
  CHECK(run(Op::sub, {vector<int64_t>({INT64_MIN}), vector<int64_t>({1})})[0] ==
        vector<int64_t>({INT64_MAX}));
  CHECK(run(Op::mul, {vector<int32_t>({65536, -3}), vector<int32_t>({65536, 5})})[0] ==
        vector<int32_t>({0, -15}));
  CHECK(run(Op::neg, {vector<int64_t>({INT64_MIN, 7})})[0] == vector<int64_t>({INT64_MIN, -7}));
  CHECK(run(Op::abs, {vector<int32_t>({INT32_MIN, -7, 7})})[0] == vector<int32_t>({INT32_MIN, 7, 7}));
  CHECK(run(Op::sum, {vector<int32_t>({INT32_MAX, 1})}, Attributes::of(false, Ints{}))[0] ==
        of<int32_t>({}, {INT32_MIN}));
}

TEST_CASE("casts truncate and saturate", "[interpreter]") {
  const Literal floats =
      vector<float>({-1.9f, 1.9f, 3e9f, -3e9f, kInfinity, -kInfinity, kNaN, -0.0f, 2147483520.0f});
  CHECK(run(Op::cast, {floats}, Attributes::of(DType::i32))[0] ==
        vector<int32_t>({-1, 1, INT32_MAX, INT32_MIN, INT32_MAX, INT32_MIN, 0, 0, 2147483520}));
  CHECK(run(Op::cast, {vector<double>({9.3e18, -9.3e18, -9223372036854775808.0, 4e9})},
            Attributes::of(DType::i64))[0] == vector<int64_t>({INT64_MAX, INT64_MIN, INT64_MIN, 4000000000}));
  CHECK(run(Op::cast, {vector<int64_t>({INT64_MAX, INT64_MIN, -5})}, Attributes::of(DType::i32))[0] ==
        vector<int32_t>({INT32_MAX, INT32_MIN, -5}));
  CHECK(run(Op::cast, {vector<bool>({true, false})}, Attributes::of(DType::f64))[0] ==
        vector<double>({1, 0}));
  CHECK(run(Op::cast, {vector<float>({0.0f, -0.0f, kNaN, 0.5f})}, Attributes::of(DType::boolean))[0] ==
        vector<bool>({false, false, true, true}));
  CHECK(run(Op::cast, {vector<int64_t>({16777217, 9007199254740993})}, Attributes::of(DType::f32))[0] ==
        vector<float>({16777216.0f, 9007199254740992.0f}));
  CHECK(run(Op::cast, {vector<double>({1e300, 0.1})}, Attributes::of(DType::f32))[0] ==
        vector<float>({kInfinity, 0.1f}));
}

TEST_CASE("arithmetic, comparisons and selection of floats", "[interpreter]") {
  const Literal a = vector<float>({1, -0.0f, kNaN, 2, kInfinity}),
                b = vector<float>({2, 0.0f, 1, 2, kInfinity});
  CHECK(run(Op::less, {a, b})[0] == vector<bool>({true, false, false, false, false}));
  CHECK(run(Op::less_equal, {a, b})[0] == vector<bool>({true, true, false, true, true}));
  CHECK(run(Op::greater, {b, a})[0] == vector<bool>({true, false, false, false, false}));
  CHECK(run(Op::greater_equal, {b, a})[0] == vector<bool>({true, true, false, true, true}));
  CHECK(run(Op::equal, {a, b})[0] == vector<bool>({false, true, false, true, true}));
  CHECK(run(Op::not_equal, {a, b})[0] == vector<bool>({true, false, true, false, false}));
  CHECK(run(Op::where, {vector<bool>({true, false}), vector<float>({1, 2}), of<float>({}, {9})})[0] ==
        vector<float>({1, 9}));
  CHECK(run(Op::div, {vector<float>({1, -1}), vector<float>({0, 0})})[0] ==
        vector<float>({kInfinity, -kInfinity}));
  CHECK(run(Op::floor, {vector<float>({-1.5f, 1.5f, -0.0f})})[0] == vector<float>({-2, 1, -0.0f}));
  const auto top =
      run(Op::maximum, {vector<float>({-0.0f, 0.0f, 1, kNaN}), vector<float>({0.0f, -0.0f, kNaN, 1})})[0];
  CHECK(std::signbit(top.as<float>()[0]));
  CHECK_FALSE(std::signbit(top.as<float>()[1]));
  CHECK((std::isnan(top.as<float>()[2]) && std::isnan(top.as<float>()[3])));
  CHECK(run(Op::minimum, {vector<int32_t>({1, 5}), vector<int32_t>({2, 4})})[0] == vector<int32_t>({1, 4}));
  CHECK(run(Op::relu, {vector<float>({-1, 2})})[0] == vector<float>({0, 2}));
  CHECK(run(Op::logical_and, {vector<bool>({true, true}), vector<bool>({true, false})})[0] ==
        vector<bool>({true, false}));
  CHECK(run(Op::logical_or, {vector<bool>({false, true}), vector<bool>({false, false})})[0] ==
        vector<bool>({false, true}));
  CHECK(run(Op::logical_not, {vector<bool>({false, true})})[0] == vector<bool>({true, false}));
}

TEST_CASE("operands broadcast by NumPy's rule", "[interpreter]") {
  const Literal column = of<float>({2, 1}, {10, 20}), row = of<float>({3}, {1, 2, 3});
  CHECK(run(Op::add, {column, row})[0] == of<float>({2, 3}, {11, 12, 13, 21, 22, 23}));
  CHECK(run(Op::sub, {of<float>({}, {1}), row})[0] == of<float>({3}, {0, -1, -2}));
  CHECK(run(Op::mul, {Literal(Type{DType::f32, {0, 3}}), row})[0] == Literal(Type{DType::f32, {0, 3}}));
}

TEST_CASE("creation", "[interpreter]") {
  CHECK(run(Op::full, {}, Attributes::of(2.7, DType::i32, Ints{2}))[0] == vector<int32_t>({2, 2}));
  CHECK(run(Op::full, {}, Attributes::of(1e300, DType::i64, Ints{}))[0] == of<int64_t>({}, {INT64_MAX}));
  CHECK(run(Op::full, {}, Attributes::of(0.1, DType::f32, Ints{1}))[0] == vector<float>({0.1f}));
  CHECK(run(Op::full, {}, Attributes::of(0.5, DType::boolean, Ints{1}))[0] == vector<bool>({true}));
  CHECK(run(Op::arange, {}, Attributes::of(3, DType::f64))[0] == vector<double>({0, 1, 2}));
}

TEST_CASE("views", "[interpreter]") {
  const Literal x = counted({2, 3});
  CHECK(run(Op::reshape, {x}, Attributes::of(Ints{3, -1}))[0] == counted({3, 2}));
  CHECK(run(Op::detach, {x})[0] == x);
  CHECK(run(Op::permute, {x}, Attributes::of(Ints{1, 0}))[0] == of<float>({3, 2}, {0, 3, 1, 4, 2, 5}));
  const Literal turned = run(Op::permute, {counted({2, 3, 4})}, Attributes::of(Ints{2, 0, 1}))[0];
  CHECK(turned.type.shape == Shape{4, 2, 3});
  CHECK(turned.as<float>()[1 * 6 + 1 * 3 + 2] == 1 * 12 + 2 * 4 + 1);  // [1,1,2] is x[1,2,1]
  CHECK(run(Op::expand, {of<float>({2, 1}, {1, 2})}, Attributes::of(Ints{2, 2, 2}))[0] ==
        of<float>({2, 2, 2}, {1, 1, 2, 2, 1, 1, 2, 2}));
  CHECK(run(Op::slice, {x}, Attributes::of(1, -2, 3))[0] == of<float>({2, 2}, {1, 2, 4, 5}));
  CHECK(run(Op::slice, {x}, Attributes::of(0, 1, 1))[0] == Literal(Type{DType::f32, {0, 3}}));
  const std::vector<Literal> parts = run(Op::split, {x}, Attributes::of(3, -1));
  REQUIRE(parts.size() == 3);
  CHECK(parts[1] == of<float>({2, 1}, {1, 4}));
}

TEST_CASE("assembly", "[interpreter]") {
  CHECK(run(Op::pad, {of<float>({2, 1}, {1, 2})}, Attributes::of(1, 1, 2))[0] ==
        of<float>({2, 4}, {0, 1, 0, 0, 0, 2, 0, 0}));
  CHECK(run(Op::concat, {of<float>({2, 1}, {1, 2}), of<float>({2, 2}, {3, 4, 5, 6})},
            Attributes::of(-1))[0] == of<float>({2, 3}, {1, 3, 4, 2, 5, 6}));
  CHECK(run(Op::take, {counted({3, 2}), of<int32_t>({2, 1}, {2, 0})})[0] ==
        of<float>({2, 1, 2}, {4, 5, 0, 1}));
  CHECK(run(Op::take, {counted({3}), of<int64_t>({}, {1})})[0] == of<float>({}, {1}));
  CHECK(run(Op::index_add, {of<float>({3, 2}, {1, 2, 3, 4, 5, 6}), vector<int64_t>({1, 0, 1})},
            Attributes::of(3))[0] == of<float>({3, 2}, {3, 4, 6, 8, 0, 0}));
  for (int64_t index : {int64_t{-1}, int64_t{3}}) {
    CHECK_THROWS_AS(run(Op::take, {counted({3, 2}), vector<int64_t>({index})}), UserError);
    CHECK_THROWS_AS(run(Op::index_add, {counted({1, 2}), vector<int64_t>({index})}, Attributes::of(3)),
                    UserError);
  }
  CHECK_THROWS_AS(run(Op::take, {Literal(Type{DType::f32, {0, 2}}), vector<int64_t>({0})}), UserError);
}

TEST_CASE("argmax takes the first largest, NaN first of all", "[interpreter]") {
  const Literal x =
      of<float>({3, 4}, {1, 3, 3, 0, -kInfinity, -kInfinity, -kInfinity, -kInfinity, 5, kNaN, 9, kNaN});
  CHECK(run(Op::argmax, {x}, Attributes::of(1))[0] == vector<int64_t>({1, 0, 1}));
  CHECK(run(Op::argmax, {of<int32_t>({2, 2}, {1, 7, 2, 6})}, Attributes::of(0))[0] ==
        vector<int64_t>({1, 0}));
}

TEST_CASE("sums are near those in double, over any axes", "[interpreter]") {
  const std::pair<Shape, std::vector<int64_t>> cases[] = {{{10000}, {0}},          {{5, 8193}, {1}},
                                                          {{200, 3}, {0}},         {{3, 70, 5}, {0, 1}},
                                                          {{3, 70, 5}, {0, 1, 2}}, {{7, 5, 3}, {1}}};
  for (const auto& [shape, axes] : cases) {
    const Literal x = random_literal<float>(shape, 7);
    Shape kept = shape;
    for (int64_t axis : axes) kept.set(static_cast<int>(axis), 1);
    std::vector<double> exact(kept.element_count()), largest(kept.element_count(), -1e9);
    for (int64_t i = 0; i < x.size(); ++i) {
      int64_t rest = i, to = 0, scale = 1;
      for (int axis = shape.rank() - 1; axis >= 0; --axis) {
        to += kept[axis] == 1 ? 0 : rest % shape[axis] * scale;
        scale *= kept[axis];
        rest /= shape[axis];
      }
      exact[to] += x.as<float>()[i];
      largest[to] = std::max<double>(largest[to], x.as<float>()[i]);
    }
    const Literal sum = run(Op::sum, {x}, Attributes::of(true, Ints(axes)))[0];
    const Literal max = run(Op::max, {x}, Attributes::of(true, Ints(axes)))[0];
    REQUIRE(sum.type.shape == kept);
    for (size_t i = 0; i < exact.size(); ++i) {
      CHECK(sum.as<float>()[i] == Approx(exact[i]).margin(1e-3));
      CHECK(max.as<float>()[i] == largest[i]);
    }
  }
}

// Values chosen so that the order of additions shows: 1e8 swallows what is added to it one by one.
TEST_CASE("sums follow the tree to the letter", "[interpreter]") {
  const auto sum = [](const Literal& x, std::vector<int64_t> axes) {
    return run(Op::sum, {x}, Attributes::of(false, Ints(axes)))[0].as<float>()[0];
  };
  Literal lanes(Type{DType::f32, {64}});
  lanes.as<float>()[0] = 1e8f;  // lane 0 is 1e8 + 3 = 1e8, and 16 joins it first
  lanes.as<float>()[32] = 3;
  lanes.as<float>()[16] = 3;
  lanes.as<float>()[48] = 3;  // lane 16 is 6, and 1e8 + 6 rounds to 1e8 + 8
  CHECK(sum(lanes, {0}) == 1e8f + 8);
  Literal blocks(Type{DType::f32, {3 * 4096}});
  blocks.as<float>()[0] = 1e8f;
  blocks.as<float>()[4096] = -1e8f;
  blocks.as<float>()[2 * 4096] = 1;
  CHECK(sum(blocks, {0}) == 1);
  std::swap(blocks.as<float>()[4096], blocks.as<float>()[2 * 4096]);  // (1e8 + 1) - 1e8
  CHECK(sum(blocks, {0}) == 0);
  Literal outer(Type{DType::f32, {64, 2}});  // in order within 64 rows: no lanes
  outer.as<float>()[0] = 1e8f;
  outer.as<float>()[2] = 3;
  outer.as<float>()[4] = 3;
  CHECK(sum(outer, {0}) == 1e8f);
  Literal rows(Type{DType::f32, {3 * 64, 2}});
  rows.as<float>()[0] = 1;
  rows.as<float>()[64 * 2] = 1e8f;
  rows.as<float>()[128 * 2] = -1e8f;
  CHECK(sum(rows, {0}) == 0);
  Literal several(Type{DType::f32, {2, 2}});  // the last axis first: (1e8 + 3) + (3 + 3)
  several.as<float>()[0] = 1e8f;
  several.as<float>()[1] = several.as<float>()[2] = several.as<float>()[3] = 3;
  CHECK(sum(several, {0, 1}) == 1e8f + 8);
  CHECK(std::signbit(sum(vector<float>({-0.0f}), {0})) == false);  // from +0
  CHECK(sum(Literal(Type{DType::f32, {0}}), {0}) == 0);
}

TEST_CASE("an odd block moves up unchanged", "[interpreter]") {
  Literal x(Type{DType::f32, {5 * 4096}});
  const float values[] = {1e8f, 3, 3, 3, -1e8f};  // ((1e8 + 3) + (3 + 3)) - 1e8
  for (int i = 0; i < 5; ++i) x.as<float>()[i * 4096] = values[i];
  CHECK(run(Op::sum, {x}, Attributes::of(false, Ints{}))[0].as<float>()[0] == 8);
}

TEST_CASE("max of NaN is NaN, of -inf is -inf", "[interpreter]") {
  const Literal x = of<float>({3, 2}, {1, kNaN, -kInfinity, -kInfinity, kNaN, 1});
  const Literal y = run(Op::max, {x}, Attributes::of(false, Ints{1}))[0];
  CHECK(std::isnan(y.as<float>()[0]));
  CHECK(y.as<float>()[1] == -kInfinity);
  CHECK(std::isnan(y.as<float>()[2]));
  CHECK(run(Op::max, {vector<int64_t>({INT64_MIN, -3})}, Attributes::of(true, Ints{0}))[0] ==
        vector<int64_t>({-3}));
}

TEST_CASE("products are ordered chains of fma", "[interpreter]") {
  const Literal a = of<float>({2, 3}, {1, 2, 3, 4, 5, 6}), b = of<float>({3, 2}, {1, 0, 0, 1, 1, 1});
  CHECK(run(Op::matmul, {a, b})[0] == of<float>({2, 2}, {4, 5, 10, 11}));
  CHECK(run(Op::product_sum, {a, b, of<float>({2, 1}, {1, 2}), of<float>({1, 2}, {10, 20})})[0] ==
        of<float>({2, 2}, {14, 25, 30, 51}));
  CHECK(run(Op::matmul, {Literal(Type{DType::f64, {1, 0}}), Literal(Type{DType::f64, {0, 1}})})[0] ==
        of<double>({1, 1}, {0}));
  const float x = 1 + std::ldexp(1.0f, -12);  // x * x - (rounded x * x) shows that the product is not rounded
  const float square = x * x;
  CHECK(run(Op::matmul, {of<float>({1, 2}, {-1, x}), of<float>({2, 1}, {square, x})})[0].as<float>()[0] ==
        std::fma(x, x, -square));
  CHECK(std::fma(x, x, -square) != 0);
}

TEST_CASE("composites run their bodies", "[interpreter]") {
  const Literal x = random_literal<double>({4, 6}, 3);
  const auto values = x.as<double>();
  const Literal softmax = run(Op::softmax, {x}, Attributes::of(-1))[0],
                log = run(Op::log_softmax, {x}, Attributes::of(1))[0];
  const Literal normal = run(Op::layer_norm, {x}, Attributes::of(1e-5))[0],
                mean = run(Op::mean, {x}, Attributes::of(false, Ints{1}))[0];
  const Literal entropy = run(Op::cross_entropy, {x, vector<int64_t>({0, 5, 2, 2})})[0];
  const int targets[] = {0, 5, 2, 2};
  double loss = 0;
  for (int row = 0; row < 4; ++row) {
    double total = 0, average = 0, variance = 0;
    for (int k = 0; k < 6; ++k) total += std::exp(values[row * 6 + k]), average += values[row * 6 + k] / 6;
    for (int k = 0; k < 6; ++k) variance += std::pow(values[row * 6 + k] - average, 2) / 6;
    for (int k = 0; k < 6; ++k) {
      const int i = row * 6 + k;
      CHECK(softmax.as<double>()[i] == Approx(std::exp(values[i]) / total).epsilon(1e-13));
      CHECK(log.as<double>()[i] == Approx(values[i] - std::log(total)).epsilon(1e-13));
      CHECK(normal.as<double>()[i] ==
            Approx((values[i] - average) / std::sqrt(variance + 1e-5)).epsilon(1e-12));
      CHECK(run(Op::silu, {x})[0].as<double>()[i] ==
            Approx(values[i] / (1 + std::exp(-values[i]))).epsilon(1e-13));
      const double inner = std::sqrt(2 / std::acos(-1.0)) * (values[i] + 0.044715 * std::pow(values[i], 3));
      CHECK(run(Op::gelu, {x})[0].as<double>()[i] ==
            Approx(0.5 * values[i] * (1 + std::tanh(inner))).epsilon(1e-12));
    }
    CHECK(mean.as<double>()[row] == Approx(average).epsilon(1e-13));
    loss -= (values[row * 6 + targets[row]] - std::log(total)) / 4;
  }
  CHECK(entropy.as<double>()[0] == Approx(loss).epsilon(1e-13));
}

TEST_CASE("a fusion runs its block", "[interpreter]") {
  const Graph graph = parse(test::kCellText);
  const Literal x = random_literal<float>({16, 256}, 1), w = random_literal<float>({256, 1024}, 2);
  const Literal b = random_literal<float>({1024}, 3);
  const std::vector<Literal> outputs = interpret(graph, std::array{x, w, b});
  REQUIRE(outputs.size() == 2);
  const Literal gates =
      run(Op::split, {run(Op::add, {run(Op::matmul, {x, w})[0], b})[0]}, Attributes::of(4, 1))[0];
  const Literal half = run(Op::mul, {gates, of<float>({}, {0.5f})})[0];
  CHECK(outputs[0] == half);
  CHECK(outputs[1] == run(Op::tanh, {half})[0]);
}

TEST_CASE("every sample graph runs", "[interpreter]") {
  for (int i = 0; i < kOpCount; ++i) {
    INFO(row(static_cast<Op>(i)).name);
    for (const Graph& graph : test::sample_graphs(static_cast<Op>(i))) {
      std::vector<Literal> inputs;
      for (ValueId input : graph.inputs()) inputs.emplace_back(graph.type(input));
      const std::vector<Literal> outputs = interpret(run_passes(graph, "expand_composites,expand_gradients"), inputs);
      REQUIRE(outputs.size() == graph.outputs().size());
      for (size_t k = 0; k < outputs.size(); ++k) CHECK(outputs[k].type == graph.type(graph.outputs()[k]));
    }
  }
}

TEST_CASE("inputs that do not fit are refused", "[interpreter]") {
  const Graph graph = parse("graph @g(%x: f32[2]) -> f32[2] { return %x }");
  const Literal x = vector<float>({1, 2});
  CHECK(interpret(graph, std::array{x})[0] == x);
  CHECK_THROWS_AS(interpret(graph, {}), UserError);
  CHECK_THROWS_AS(interpret(graph, std::array{x, x}), UserError);
  CHECK_THROWS_AS(interpret(graph, std::array{vector<double>({1, 2})}), UserError);
  Literal cut = x;
  cut.bytes.pop_back();
  CHECK_THROWS_AS(interpret(graph, std::array{cut}), UserError);
  CHECK_THROWS_AS(x.as<double>(), UserError);
  CHECK_THROWS_AS(Literal::of<float>({3}, {1, 2}), UserError);
}

TEST_CASE("gradient rules run in the interpreter", "[interpreter]") {
  InterpreterEmitter emitter;
  const Value a = emitter.add(counted({2, 3})), b = emitter.add(of<float>({3}, {1, 2, 3}));
  const Value product = mul(a, b), seed = emitter.add(of<float>({2, 3}, {1, 1, 1, 1, 1, 1}));
  const Value inputs[] = {a, b};
  const bool needed[] = {true, true};
  const Attributes none;
  GradientContext context(none, inputs, {&product, 1}, {&seed, 1}, needed);
  row(Op::mul).gradient(context);
  CHECK(emitter.literal(context.gradients()[0]) == of<float>({2, 3}, {1, 2, 3, 1, 2, 3}));
  CHECK(emitter.literal(context.gradients()[1]) == of<float>({3}, {3, 5, 7}));
}
