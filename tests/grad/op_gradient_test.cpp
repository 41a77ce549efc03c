// Gradients of every differentiable row and composite in f64: against central differences, to first and second order,
// on the tape and through compiled regions, which give the same bits and dispatch no op.
#include <catch2/catch.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <functional>

#include "calque/autograd.h"
#include "calque/compile.h"
#include "runtime/dispatch.h"
#include "tests/support/can_compile.h"
#include "tests/support/gradient_reasons.h"
#include "tests/support/same_bits.h"

namespace calque::test {
namespace {

using Tensors = std::vector<Tensor>;
using Function = std::function<Tensors(const Tensors&)>;

constexpr int64_t kMostElements = 700;  // of a case, for each of which the function is run twice

/// The cases of each row that passed through each check, by row.
enum class Column { first, second, compiled, count_ };
constexpr const char* kColumnNames[] = {"first", "second", "compiled"};
int& passed(Op op, Column column) {
  static std::array<std::array<int, static_cast<size_t>(Column::count_)>, kOpCount> counts{};
  return counts[static_cast<size_t>(op)][static_cast<size_t>(column)];
}

/// The domain of some rows has an end, where differences say nothing.
bool has_bounded_domain(Op op) {
  constexpr Op ending[] = {Op::ndtri, Op::tan, Op::log, Op::log1p, Op::sqrt, Op::rsqrt, Op::reciprocal, Op::div, Op::pow, Op::remainder, Op::atan2};
  return std::find(std::begin(ending), std::end(ending), op) != std::end(ending);
}

/// |x| + 0.3; a number well within (0, 1) for the quantile, one away from the poles for the tangent; as strided as x.
Tensor within_domain(Op op, const Tensor& x) {
  const Tensor y = op == Op::ndtri ? 0.1 + 0.8 * sigmoid(x) : op == Op::tan ? 0.3 * x : abs(x) + 0.3;
  return x.is_contiguous() || x.rank() < 2 ? y : transpose(transpose(y).contiguous());
}

int64_t elements_of(const Tensors& inputs) {
  int64_t count = 0;
  for (const Tensor& input : inputs)
    if (input.dtype() == DType::f64) count += input.element_count();
  return count;
}

std::vector<OpCase> f64_cases(Op op) {
  std::vector<OpCase> chosen;
  for (OpCase& c : op_cases(op)) {
    const bool is_wide = !c.inputs.empty() && std::any_of(c.inputs.begin(), c.inputs.end(), [](const Tensor& x) { return x.dtype() == DType::f64; });
    if (!is_wide || c.aspect == Aspect::special || elements_of(c.inputs) > kMostElements) continue;
    const bool is_constant = (op == Op::var || op == Op::std) && c.aspect == Aspect::single;  // of one element
    if (is_constant) continue;
    if (op == Op::cast && c.attributes.dtype(0) != DType::f64) continue;
    if (has_bounded_domain(op))
      for (Tensor& input : c.inputs) input = within_domain(op, input);
    chosen.push_back(std::move(c));
  }
  return chosen;
}

/// A smooth function of all results, of which no second derivative is zero by chance.
Tensor loss_of(const Tensors& results) {
  Tensor loss = from_value(0.0);
  for (size_t i = 0; i < results.size(); ++i) {
    const Tensor weights = ordinary_tensor({DType::f64, results[i].shape()}, 91 + i);
    loss = loss + sum(results[i] * (results[i] * weights + 0.5));
  }
  return loss;
}

/// The f64 inputs as leaves that ask for gradients; the others as they are.
Tensors with_leaves(const Tensors& inputs, Tensors& leaves) {
  Tensors result = inputs;
  for (Tensor& input : result)
    if (input.dtype() == DType::f64) leaves.push_back((input = input.detach()).set_requires_grad());
  return result;
}

Tensors first_gradients(const Function& f, const Tensors& inputs) {
  Tensors leaves;
  const Tensor outputs[] = {loss_of(f(with_leaves(inputs, leaves)))};
  return grad(outputs, leaves);
}

/// A function of the first gradients, recorded.
Tensor gradient_loss(const Function& f, const Tensors& inputs, Tensors& leaves) {
  const Tensor outputs[] = {loss_of(f(with_leaves(inputs, leaves)))};
  return loss_of(grad(outputs, leaves, {.create_graph = true}));
}

Tensors second_gradients(const Function& f, const Tensors& inputs) {
  Tensors leaves;
  const Tensor outputs[] = {gradient_loss(f, inputs, leaves)};
  return grad(outputs, leaves);
}

/// Central differences of `value` with respect to each f64 input.
Tensors differences(const std::function<double(const Tensors&)>& value, const Tensors& inputs) {
  constexpr double kStep = 1e-5;
  Tensors result;
  for (size_t i = 0; i < inputs.size(); ++i) {
    if (inputs[i].dtype() != DType::f64) continue;
    const std::vector<double> at = inputs[i].to_vector<double>();
    std::vector<double> slope(at.size());
    for (size_t k = 0; k < at.size(); ++k) {
      Tensors moved = inputs;
      const auto value_at = [&](double x) {
        std::vector<double> values = at;
        values[k] = x;
        moved[i] = from_vector(values, inputs[i].shape());
        return value(moved);
      };
      slope[k] = (value_at(at[k] + kStep) - value_at(at[k] - kStep)) / (2 * kStep);
    }
    result.push_back(from_vector(slope, inputs[i].shape()));
  }
  return result;
}

/// The largest |found - expected| relative to the scale of all expected ones.
double error_of(const Tensors& found, const Tensors& expected) {
  double scale = 1, worst = 0;
  REQUIRE(found.size() == expected.size());
  for (size_t i = 0; i < found.size(); ++i) {
    REQUIRE(found[i].shape() == expected[i].shape());
    const std::vector<double> a = found[i].to_vector<double>(), b = expected[i].to_vector<double>();
    for (size_t k = 0; k < a.size(); ++k) {
      scale = std::max(scale, std::fabs(b[k]));
      worst = std::isnan(a[k]) ? HUGE_VAL : std::max(worst, std::fabs(a[k] - b[k]));
    }
  }
  return worst / scale;
}

bool all_same(const Tensors& a, const Tensors& b) {
  return a.size() == b.size() && std::equal(a.begin(), a.end(), b.begin(), [](const Tensor& x, const Tensor& y) { return same_bits(x, y); });
}

Function function_of(const OpCase& c) {
  return [op = c.op, attributes = c.attributes](const Tensors& in) { return run_op(op, in, attributes); };
}

double loss_value(const Function& f, const Tensors& inputs) {
  return no_grad([&] { return loss_of(f(inputs)).item(); });
}

void check_first_order(const OpCase& c) {
  const Function plain = function_of(c);
  auto compiled = compile(plain);
  const Tensors eager = first_gradients(plain, c.inputs);
  for (int call = 0; call < 3; ++call) {
    INFO("call " << call);
    CHECK(all_same(first_gradients([&](const Tensors& in) { return compiled(in); }, c.inputs), eager));
  }
  if (can_compile()) CHECK(compiled.stats().backward_plan_runs == 2);
  CHECK(error_of(eager, differences([&](const Tensors& in) { return loss_value(plain, in); }, c.inputs)) < 2e-7);
}

void check_second_order(const OpCase& c) {
  const Function plain = function_of(c);
  auto compiled = compile(plain);
  const Tensors expected = differences(
      [&](const Tensors& in) {
        Tensors leaves;
        return gradient_loss(plain, in, leaves).item();
      },
      c.inputs);
  CHECK(error_of(second_gradients(plain, c.inputs), expected) < 5e-6);
  for (int call = 0; call < 3; ++call) {
    INFO("call " << call);
    CHECK(error_of(second_gradients([&](const Tensors& in) { return compiled(in); }, c.inputs), expected) < 5e-6);
  }
  if (can_compile()) CHECK(compiled.stats().plan_runs == 2);
}

/// The smallest cases that have elements; one with a single element shows little, so ask for several.
std::vector<OpCase> smallest(std::vector<OpCase> cases, size_t count) {
  std::erase_if(cases, [](const OpCase& c) { return elements_of(c.inputs) == 0; });
  std::stable_sort(cases.begin(), cases.end(), [](const OpCase& a, const OpCase& b) { return elements_of(a.inputs) < elements_of(b.inputs); });
  if (cases.size() > count) cases.resize(count);
  return cases;
}

}  // namespace

TEST_CASE("first gradients of every op: tape = compiled region, and both agree with differences") {
  for (int i = 0; i < kOpCount; ++i) {
    const Op op = static_cast<Op>(i);
    if (!reason_without_gradient(op).empty()) continue;
    int checked = 0;
    for (const OpCase& c : f64_cases(op)) {
      if (c.aspect == Aspect::empty) continue;
      INFO(c.describe());
      check_first_order(c);
      ++checked;
    }
    passed(op, Column::first) = checked;
    INFO(row(op).name);
    CHECK(checked >= 2);
  }
}

TEST_CASE("second gradients of every op, on the tape and through a compiled region") {
  for (int i = 0; i < kOpCount; ++i) {
    const Op op = static_cast<Op>(i);
    if (!reason_without_gradient(op).empty()) continue;
    const std::vector<OpCase> cases = smallest(f64_cases(op), 6);
    INFO(row(op).name);
    CHECK(cases.size() >= 2);
    for (const OpCase& c : cases) {
      INFO(c.describe());
      check_second_order(c);
      ++passed(op, Column::second);
    }
  }
}

// What the test above finds of these rows is the curvature of its loss; of a linear function of them nothing is left.
TEST_CASE("second gradients of piecewise linear ops are zero") {
  for (int i = 0; i < kOpCount; ++i) {
    const Op op = static_cast<Op>(i);
    if (!is_piecewise_linear(op)) continue;
    for (const OpCase& c : smallest(f64_cases(op), 6)) {
      INFO(c.describe());
      Tensors leaves;
      const Tensors results = run_op(op, with_leaves(c.inputs, leaves), c.attributes);
      const Tensor outputs[] = {sum(results[0] * ordinary_tensor({DType::f64, results[0].shape()}, 17))};
      const Tensor of_gradients[] = {loss_of(grad(outputs, leaves, {.create_graph = true})) + sum(leaves[0]) * 0.0};
      for (const Tensor& second : grad(of_gradients, leaves))
        for (double g : second.to_vector<double>()) CHECK(g == 0);
    }
  }
}

TEST_CASE("rows without a gradient give zeros, and say why") {
  for (int i = 0; i < kOpCount; ++i) {
    const Op op = static_cast<Op>(i);
    const std::string reason = reason_without_gradient(op);
    if (reason.empty()) {
      CHECK((row(op).gradient != nullptr || row(op).kind == OpKind::composite));
      continue;
    }
    INFO(row(op).name << ": " << reason);
    for (const OpCase& c : smallest(f64_cases(op), 2)) {
      Tensors leaves;
      const Tensors results = run_op(op, with_leaves(c.inputs, leaves), c.attributes);
      if (!is_piecewise_constant(op)) CHECK_FALSE(results[0].requires_grad());
      if (results[0].dtype() != DType::f64) continue;
      const Tensor outputs[] = {sum(results[0]) + sum(leaves[0]) * 0.0};
      for (double g : grad(outputs, leaves)[0].to_vector<double>()) CHECK(g == 0);
    }
  }
}

TEST_CASE("a compiled backward dispatches no op") {
  if (!can_compile()) return;
  uint64_t eager_total = 0;
  for (int i = 0; i < kOpCount; ++i) {
    const Op op = static_cast<Op>(i);
    if (!reason_without_gradient(op).empty()) continue;
    for (const OpCase& c : smallest(f64_cases(op), 4)) {
      INFO(c.describe());
      auto compiled = compile(function_of(c));
      const auto backward_ops = [&](const Function& f) {
        Tensors leaves, output_gradients;
        const Tensors results = f(with_leaves(c.inputs, leaves));
        for (const Tensor& result : results) output_gradients.push_back(ordinary_tensor({DType::f64, result.shape()}, 5));
        const uint64_t before = dispatched_ops();
        grad(results, leaves, {.output_gradients = output_gradients});
        return dispatched_ops() - before;
      };
      eager_total += backward_ops(function_of(c));
      for (int call = 0; call < 3; ++call) {
        const uint64_t ops = backward_ops([&](const Tensors& in) { return compiled(in); });
        if (call > 0) CHECK(ops == 0);
      }
      ++passed(op, Column::compiled);
    }
  }
  CHECK(eager_total > 100);  // the counter counts
}

// Behind those above, which Catch runs in the order of their definition.
TEST_CASE("gradients: coverage") {
  if (passed(Op::add, Column::first) == 0 || passed(Op::add, Column::second) == 0) {
    WARN("the checks of gradients did not run in this process; run the whole program");
    return;
  }
  std::printf("%-14s", "op");
  for (const char* name : kColumnNames) std::printf(" %-9s", name);
  std::printf("\n");
  for (int i = 0; i < kOpCount; ++i) {
    const Op op = static_cast<Op>(i);
    const std::string reason = reason_without_gradient(op);
    std::printf("%-14s", row(op).name);
    for (int c = 0; reason.empty() && c < static_cast<int>(Column::count_); ++c) {
      const Column column = static_cast<Column>(c);
      const bool is_missing = passed(op, column) == 0 && (column != Column::compiled || can_compile());
      INFO(row(op).name << " " << kColumnNames[c]);
      CHECK_FALSE(is_missing);
      const std::string text = passed(op, column) ? std::to_string(passed(op, column)) : is_missing ? "EMPTY" : "baseline";
      std::printf(" %-9s", text.c_str());
    }
    std::printf(" %s\n", reason.empty() && is_piecewise_linear(op) ? "(piecewise linear: second gradients of its own are zero)" : reason.c_str());
  }
}

}  // namespace calque::test

TEST_CASE("a gradient flows through contiguous()") {
  calque::Tensor x = calque::from_vector(std::vector<double>{1, 2, 3, 4, 5, 6}, calque::Shape{2, 3});
  x.set_requires_grad();
  const calque::Tensor copy = calque::transpose(x).contiguous();
  CHECK(copy.is_contiguous());
  calque::sum(copy * copy).backward();
  CHECK(x.grad().to_vector<double>() == std::vector<double>{2, 4, 6, 8, 10, 12});
}
