// Generated kernels that plans of several sizes share.
#include <catch2/catch.hpp>
#include <chrono>
#include <string>

#include "calque/calque.h"
#include "compiler/kernel_text.h"
#include "ir/graph/parser.h"
#include "runtime/kernels/isa.h"
#include "tests/run/match_harness.h"
#include "tests/support/same_bits.h"

namespace calque::test {
namespace {

std::string text_of(const std::string& graph) {
  const Graph parsed = parse(graph);
  return kernel_text(*fusions_of(parsed).at(0)).text;
}

KernelText text_of_any_length(const std::string& graph) {
  const Graph parsed = parse(graph);
  return kernel_text(*fusions_of(parsed).at(0), RowLength::any);
}

std::string rows_graph(int rows, int columns) {
  const std::string type = "f32[" + std::to_string(rows) + "," + std::to_string(columns) + "]";
  const std::string one = "f32[" + std::to_string(rows) + ",1]";
  return "graph @g(%a: " + type + ") -> (" + type + ") {\n  %0 = fusion %a {domain = 1, rows = " + std::to_string(rows) +
         ", columns = " + std::to_string(columns) + "} : " + type + " (%x: " + type + ") {\n    %0 = sum %x {keepdim = true, axes = [1]} : " +
         one + "\n    %1 = sub %x, %0 : " + type + "\n    return %1\n  }\n  return %0\n}\n";
}

std::string flat_graph(const std::string& shape, int elements) {
  const std::string type = "f32" + shape;
  return "graph @g(%a: " + type + ", %b: f32[]) -> (" + type + ") {\n  %0 = fusion %a, %b {domain = 0, rows = 1, columns = " +
         std::to_string(elements) + "} : " + type + " (%x: " + type + ", %y: f32[]) {\n    %0 = mul %x, %y : " + type +
         "\n    %1 = tanh %0 : " + type + "\n    return %1\n  }\n  return %0\n}\n";
}

TEST_CASE("kernels that differ in sizes taken at run time have one text") {
  CHECK(text_of(rows_graph(3, 40)) == text_of(rows_graph(17, 40)));
  CHECK(text_of(rows_graph(3, 40)) != text_of(rows_graph(3, 41)));  // the length of a row is part of the code
  CHECK(text_of(rows_graph(1, 40)) != text_of(rows_graph(2, 40)));
  CHECK(text_of(flat_graph("[7]", 7)) == text_of(flat_graph("[3,5]", 15)));
  CHECK(text_of(flat_graph("[1]", 1)) != text_of(flat_graph("[2]", 2)));
}

TEST_CASE("rows of any length have one text, whose code knows no length") {
  const KernelText any = text_of_any_length(rows_graph(3, 40));
  CHECK(any.length == RowLength::any);
  CHECK(any.text == text_of_any_length(rows_graph(17, 4096)).text);
  CHECK(any.text != text_of(rows_graph(3, 40)));
  const std::string one = rows_graph(3, 1), longest = rows_graph(3, 4097);
  CHECK(text_of_any_length(one).length == RowLength::own);
  CHECK(text_of_any_length(longest).length == RowLength::own);
}

/// A constant that no earlier run had, so that no kernel that knows it is in the cache.
double new_constant() {
  static const auto now = std::chrono::system_clock::now().time_since_epoch().count();
  return 1.0 + 1e-13 * static_cast<double>(now % 1'000'000'000'000);
}

/// Elementwise ops, sums over rows and columns, products, slices, an arange, and gradients of weights and of a bias.
Tensor network(const Tensor& x, const Tensor& w, const Tensor& b) {
  const Tensor h = tanh(matmul(x, w) + b), s = sum(h * h, {1}, true), c = concat({h / (s + 1.0), slice(h, 1, 0, 8)}, 1);
  const Tensor place = arange(40, DType::f32);
  // The count of a mean is a number that differs with the size.
  return maximum(c * place, -1e6 * new_constant()) + mean(c, {0}, true);
}

TEST_CASE("plans of other sizes use the kernels that there are, and give the bits of eager execution") {
  auto f = compile(&network, {.name = "shared_kernels", .compile_at_once = true});
  manual_seed(3);
  const Tensor w = randn({16, 32}).set_requires_grad(), b = randn({32}).set_requires_grad();
  uint64_t after_first = 0;
  for (const int64_t rows : {5, 6, 9, 31, 12, 64, 17}) {
    const Tensor x = randn({rows, 16});
    const auto gradients = [&](auto&& function) {
      Tensor y = function(x, w, b);
      const std::vector<Tensor> of = grad({sum(y * y)}, {w, b});
      return std::vector<Tensor>{y, of[0], of[1]};
    };
    const std::vector<Tensor> expected = gradients(&network);
    for (int call = 0; call < 2; ++call) {
      const std::vector<Tensor> actual = gradients(f);
      CHECK(same_bits(expected[0], actual[0]));
      CHECK(same_bits(expected[2], actual[2]));
    }
    if (rows == 5) after_first = f.stats().code_generations;
  }
  if (kernels::isa_level() != kernels::IsaLevel::baseline) CHECK(after_first > 0);
  CHECK(f.stats().code_generations == after_first);
}

/// Attention over a memory of any length, means over it, and values that go along it.
std::vector<Tensor> attention(const Tensor& query, const Tensor& memory, const Tensor& mask) {
  const Tensor scores = matmul(query, transpose(memory, 0, 1)) * new_constant() + mask;
  const Tensor weights = softmax(scores, 1), places = arange(mask.size(0), DType::f32);
  const Tensor mean_place = mean(weights * places, {1}, true);
  return {matmul(weights, memory), mean_place, exp(scores - mean_place), var(scores, {1}), mean(square(log_softmax(scores, 1)))};
}

TEST_CASE("plans for rows of other lengths generate code for any length once, and give the bits of eager execution") {
  auto f = compile(&attention, {.name = "any_rows", .compile_at_once = true});
  manual_seed(4);
  const Tensor query = randn({5, 16}).set_requires_grad();
  uint64_t after_second = 0;
  int sizes = 0;
  for (const int64_t length : {20, 33, 7, 64, 32, 100, 250, 31}) {
    const Tensor memory = randn({length, 16}).set_requires_grad(), mask = randn({length});
    const auto results = [&](auto&& function) {
      std::vector<Tensor> made = function(query, memory, mask);
      Tensor loss = made.back();
      for (const Tensor& tensor : made) loss = loss + sum(square(tensor));
      for (const Tensor& gradient : grad({loss}, {query, memory})) made.push_back(gradient);
      return made;
    };
    const std::vector<Tensor> expected = results(&attention);
    for (int call = 0; call < 2; ++call) {
      const std::vector<Tensor> actual = results(f);
      for (size_t i = 0; i < 5; ++i) {
        INFO("length " << length << ", result " << i);
        CHECK(same_bits(expected[i], actual[i]));
      }
      check_close({actual[5], actual[6]}, {expected[5], expected[6]});
    }
    if (++sizes == 3) after_second = f.stats().code_generations;
  }
  if (kernels::isa_level() != kernels::IsaLevel::baseline) CHECK(after_second > 0);
  CHECK(f.stats().code_generations == after_second);
}

}  // namespace
}  // namespace calque::test
