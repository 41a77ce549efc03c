// Modules, initialisers and text batches against references computed here.
#include "calque/nn.h"

#include <catch2/catch.hpp>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <functional>

#include "calque/autograd.h"
#include "calque/ops.h"
#include "tests/support/numbers_of.h"

using namespace calque;
using Catch::Matchers::Contains;
using test::numbers_of;

namespace {

/// d f(values) / d values[i], by central differences in double.
std::vector<double> finite_differences(const std::function<double(const Tensor&)>& f, const Tensor& at) {
  constexpr double kStep = 1e-5;
  std::vector<double> values = numbers_of(at), result;
  for (double& value : values) {
    const double before = value;
    value = before + kStep;
    const double above = f(from_span<double>(values, at.shape()));
    value = before - kStep;
    const double below = f(from_span<double>(values, at.shape()));
    value = before;
    result.push_back((above - below) / (2 * kStep));
  }
  return result;
}

void require_close(const std::vector<double>& a, const std::vector<double>& b, double tolerance) {
  REQUIRE(a.size() == b.size());
  for (size_t i = 0; i < a.size(); ++i) REQUIRE(a[i] == Approx(b[i]).margin(tolerance).epsilon(tolerance));
}

/// A scalar that depends on every element in its own way.
Tensor weighted_sum(const Tensor& y) {
  std::vector<double> weights(y.element_count());
  for (size_t i = 0; i < weights.size(); ++i) weights[i] = std::sin(static_cast<double>(i) + 1);
  return sum(y * cast(from_span<double>(weights, y.shape()), y.dtype()));
}

struct Inner : nn::Module {
  nn::Linear linear{2, 3};
  Inner() { register_module("linear", linear); }
};
struct Outer : nn::Module {
  Tensor scale = register_parameter("scale", ones({3}));
  Inner inner;
  Outer() { register_module("inner", inner); }
  using Module::register_module;
  using Module::register_parameter;
};

}  // namespace

TEST_CASE("initialisers depend on the seed and on their place only") {
  manual_seed(3);
  const auto first = nn::uniform({4, 5}, -2, 3).to_vector<float>();
  const auto second = nn::uniform({4, 5}, -2, 3).to_vector<float>();
  manual_seed(3);
  CHECK(nn::uniform({4, 5}, -2, 3).to_vector<float>() == first);
  CHECK(nn::uniform({4, 5}, -2, 3).to_vector<float>() == second);
  CHECK(first != second);
  manual_seed(4);
  CHECK(nn::uniform({4, 5}, -2, 3).to_vector<float>() != first);
  for (const float value : first) CHECK((value >= -2 && value < 3));
  const double bound = std::sqrt(6.0 / 50);
  for (const float value : nn::xavier(20, 30).to_vector<float>()) CHECK(std::abs(value) <= bound);
}

TEST_CASE("initialisers have the deviations of their papers") {
  const auto deviation = [](const Tensor& x) { return std::sqrt(mean(square(x)).item()); };
  const auto largest = [](const Tensor& x) { return max(abs(x)).item(); };
  manual_seed(5);
  const Tensor xavier = nn::xavier(200, 300, 2), kaiming = nn::kaiming(200, 300, 0.5);
  CHECK(deviation(xavier) == Approx(2 * std::sqrt(2.0 / 500)).epsilon(0.02));
  CHECK(largest(xavier) <= 2 * std::sqrt(6.0 / 500));
  CHECK(deviation(kaiming) == Approx(std::sqrt(2.0 / (1.25 * 200))).epsilon(0.02));
  CHECK(largest(kaiming) <= std::sqrt(6.0 / (1.25 * 200)));
  const Tensor xavier_normal = nn::xavier_normal(200, 300), kaiming_normal = nn::kaiming_normal(200, 300);
  CHECK(deviation(xavier_normal) == Approx(std::sqrt(2.0 / 500)).epsilon(0.02));
  CHECK(deviation(kaiming_normal) == Approx(0.1).epsilon(0.02));
  CHECK(largest(kaiming_normal) > std::sqrt(6.0 / 200));
  CHECK_THROWS_AS(nn::xavier(0, 3), UserError);
  CHECK_THROWS_AS(nn::kaiming(3, -1), UserError);
  CHECK_THROWS_AS(nn::orthogonal(2, 2, INFINITY), UserError);
}

TEST_CASE("orthogonal matrices have orthonormal rows or columns, and favour no sign") {
  manual_seed(6);
  const auto is_scaled_identity = [](const Tensor& x, double scale) {
    return max(abs(x - scale * eye(x.size(0)))).item() < 1e-5;
  };
  const Tensor wide = nn::orthogonal(20, 50), tall = nn::orthogonal(50, 20, 3), square = nn::orthogonal(30, 30);
  CHECK(is_scaled_identity(matmul(wide, transpose(wide)), 1));
  CHECK(is_scaled_identity(matmul(transpose(tall), tall), 9));
  CHECK(is_scaled_identity(matmul(square, transpose(square)), 1));
  CHECK(tall.is_contiguous());
  int positive = 0;
  for (int i = 0; i < 200; ++i) positive += nn::orthogonal(2, 2).to_vector<float>()[0] > 0;
  CHECK((positive > 60 && positive < 140));
}

TEST_CASE("Sequential applies its layers in order, and names them by their places") {
  manual_seed(7);
  nn::Sequential net;
  CHECK(net(ones({2})).to_vector<float>() == std::vector<float>{1, 1});
  net.add<nn::Linear>(3, 4).add(relu).add<nn::Dropout>(1.0).add([](const Tensor& x) { return x + 1.0; }).add<nn::Linear>(4, 2);
  CHECK(net.size() == 5);
  std::vector<std::string> names;
  for (const auto& [name, parameter] : net.named_parameters()) names.push_back(name);
  CHECK(names == std::vector<std::string>{"0.weight", "0.bias", "4.weight", "4.bias"});
  const auto weight = [&](const char* name) { return find(net.state(), name); };
  const Tensor x = nn::normal({5, 3});
  const Tensor dropped = matmul(ones({5, 4}), weight("4.weight")) + weight("4.bias");
  CHECK(net(x).to_vector<float>() == dropped.to_vector<float>());
  net.eval();
  const Tensor inner = relu(matmul(x, weight("0.weight")) + weight("0.bias")) + 1.0;
  CHECK(net(x).to_vector<float>() == (matmul(inner, weight("4.weight")) + weight("4.bias")).to_vector<float>());
}

TEST_CASE("parameters have dotted names in the order of registration") {
  Outer outer;
  std::vector<std::string> names;
  for (const auto& [name, parameter] : outer.named_parameters()) {
    names.push_back(name);
    CHECK(parameter.requires_grad());
  }
  CHECK(names == std::vector<std::string>{"scale", "inner.linear.weight", "inner.linear.bias"});
  CHECK(outer.parameters()[1].is_same(outer.inner.linear.weight));
  CHECK_THROWS_AS(outer.register_parameter("scale", ones({1})), UserError);
  CHECK_THROWS_AS(outer.register_parameter("inner", ones({1})), UserError);
  CHECK_THROWS_AS(outer.register_parameter("a.b", ones({1})), UserError);
  CHECK_THROWS_AS(outer.register_module("", outer.inner), UserError);
}

TEST_CASE("load_state copies all or nothing") {
  Outer from, to;
  NamedTensors tensors = from.named_parameters();
  const auto before = to.inner.linear.weight.to_vector<float>();
  tensors.pop_back();
  CHECK_THROWS_WITH(to.load_state(tensors), Contains("inner.linear.bias"));
  tensors.emplace_back("inner.linear.bias", zeros({4}));
  CHECK_THROWS_WITH(to.load_state(tensors), Contains("f32[3]") && Contains("f32[4]"));
  tensors.back() = from.named_parameters().back();
  tensors.emplace_back("extra", zeros({1}));
  CHECK_THROWS_WITH(to.load_state(tensors), Contains("extra"));
  CHECK(to.inner.linear.weight.to_vector<float>() == before);
  tensors.pop_back();
  to.load_state(tensors);
  CHECK(to.inner.linear.weight.to_vector<float>() == from.inner.linear.weight.to_vector<float>());
  CHECK(!to.inner.linear.weight.is_same(from.inner.linear.weight));
}

TEST_CASE("buffers belong to the state and not to the parameters") {
  struct Counting : nn::Module {
    Tensor scale = register_parameter("scale", ones({2})),
           count = register_buffer("count", zeros({}, DType::i64));
    using Module::register_buffer;
  } from, to;
  CHECK(from.named_parameters().size() == 1);
  CHECK(from.named_buffers().at(0).first == "count");
  CHECK(!from.count.requires_grad());
  from.count.assign_(from_value<int64_t>(7));
  to.load_state(from.state());
  CHECK(to.count.item() == 7);
  CHECK_THROWS_AS(to.load_state(from.named_parameters()), UserError);
  CHECK_THROWS_AS(to.register_buffer("scale", zeros({1})), UserError);
  CHECK_THROWS_AS(to.register_buffer("with_gradient", ones({1}).set_requires_grad()), UserError);
}

TEST_CASE("the mode reaches inner modules, also those that are registered later") {
  Outer outer;
  CHECK(outer.is_training());
  outer.eval();
  CHECK(!outer.is_training());
  CHECK(!outer.inner.linear.is_training());
  nn::Linear late(1, 1);
  outer.register_module("late", late);
  CHECK(!late.is_training());
  outer.train();
  CHECK(outer.inner.linear.is_training());
  CHECK(late.is_training());
}

TEST_CASE("gradients of Linear agree with finite differences") {
  manual_seed(11);
  nn::Linear linear(3, 4);
  Tensor x = nn::normal({5, 3});
  x.set_requires_grad();
  weighted_sum(linear(x)).backward();
  const Tensor x64 = cast(x, DType::f64).detach(), w64 = cast(linear.weight, DType::f64).detach(),
               b64 = cast(linear.bias, DType::f64).detach();
  const auto f = [](const Tensor& x, const Tensor& w, const Tensor& b) {
    return weighted_sum(matmul(x, w) + b).item();
  };
  require_close(numbers_of(x.grad()), finite_differences([&](const Tensor& v) { return f(v, w64, b64); }, x),
                1e-5);
  require_close(numbers_of(linear.weight.grad()),
                finite_differences([&](const Tensor& v) { return f(x64, v, b64); }, w64), 1e-5);
  require_close(numbers_of(linear.bias.grad()),
                finite_differences([&](const Tensor& v) { return f(x64, w64, v); }, b64), 1e-5);
}

TEST_CASE("gradients of LayerNorm agree with finite differences") {
  manual_seed(12);
  nn::LayerNorm norm(6);
  Tensor x = nn::normal({3, 6});
  x.set_requires_grad();
  weighted_sum(norm(x)).backward();
  const Tensor x64 = cast(x, DType::f64).detach(), w64 = cast(norm.weight, DType::f64).detach(),
               b64 = cast(norm.bias, DType::f64).detach();
  const auto f = [](const Tensor& x, const Tensor& w, const Tensor& b) {
    return weighted_sum(layer_norm(x, w, b)).item();
  };
  require_close(numbers_of(x.grad()), finite_differences([&](const Tensor& v) { return f(v, w64, b64); }, x),
                1e-4);
  require_close(numbers_of(norm.weight.grad()),
                finite_differences([&](const Tensor& v) { return f(x64, v, b64); }, w64), 1e-4);
  require_close(numbers_of(norm.bias.grad()),
                finite_differences([&](const Tensor& v) { return f(x64, w64, v); }, b64), 1e-4);
}

TEST_CASE("Embedding takes rows, and adds the gradients of rows taken twice") {
  manual_seed(13);
  nn::Embedding embedding(5, 2);
  const Tensor rows = embedding(from_vector<int64_t>({4, 1, 4}));
  const auto weight = embedding.weight.to_vector<float>(), taken = rows.to_vector<float>();
  CHECK(taken == std::vector<float>{weight[8], weight[9], weight[2], weight[3], weight[8], weight[9]});
  sum(rows).backward();
  CHECK(embedding.weight.grad().to_vector<float>() == std::vector<float>{0, 0, 1, 1, 0, 0, 0, 0, 2, 2});
  CHECK_THROWS_AS(embedding(from_vector<int64_t>({5})), UserError);
}

TEST_CASE("a vocabulary is the bytes that occur, in order") {
  const nn::Vocabulary vocabulary("banana\xff\n");
  CHECK(vocabulary.bytes() == "\nabn\xff");
  CHECK(vocabulary.encode("nab\n") == std::vector<int64_t>{3, 1, 2, 0});
  CHECK(vocabulary.decode(4) == '\xff');
  CHECK_THROWS_AS(vocabulary.encode("x"), UserError);
}

TEST_CASE("batches walk contiguous streams and start again at their end") {
  std::vector<int64_t> tokens(18);  // 2 streams of 8: [0, 8) and [8, 16), with a target after each
  for (size_t i = 0; i < tokens.size(); ++i) tokens[i] = static_cast<int64_t>(i);
  const nn::TextBatches batches(tokens, 2, 3);
  CHECK(batches.pieces() == 2);
  CHECK(batches[0].inputs.to_vector<int64_t>() == std::vector<int64_t>{0, 8, 1, 9, 2, 10});
  CHECK(batches[0].targets.to_vector<int64_t>() == std::vector<int64_t>{1, 9, 2, 10, 3, 11});
  CHECK(batches[1].inputs.to_vector<int64_t>() == std::vector<int64_t>{3, 11, 4, 12, 5, 13});
  CHECK(batches[0].starts_anew);
  CHECK(!batches[1].starts_anew);
  CHECK(batches[2].starts_anew);
  CHECK(batches[2].inputs.to_vector<int64_t>() == batches[0].inputs.to_vector<int64_t>());
  CHECK_THROWS_AS(nn::TextBatches({1, 2, 3}, 2, 3), UserError);
}

TEST_CASE("texts that cannot be read are the user's error") {
  CHECK_THROWS_WITH(nn::read_text("/nowhere/at/all"), Contains("/nowhere/at/all"));
  CHECK_THROWS_WITH(nn::read_text("/"), Contains("folder"));
  CHECK_THROWS_WITH(nn::read_fortunes("/nowhere"), Contains("fortunes"));
}
