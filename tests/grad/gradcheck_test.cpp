// gradcheck and grad(): right gradients pass, wrong ones are found, of first and second order.
#include "calque/gradcheck.h"

#include <catch2/catch.hpp>

#include "calque/autograd.h"
#include "calque/ops.h"

using namespace calque;

namespace {

Tensor leaf(const std::vector<double>& values, const Shape& shape) {
  Tensor tensor = from_vector(values, shape);
  tensor.set_requires_grad();
  return tensor;
}

}  // namespace

TEST_CASE("gradcheck passes what is right, first and second order") {
  const Tensor inputs[] = {leaf({0.3, -0.7, 1.1, 0.2, 0.5, -0.4}, {2, 3}), leaf({0.6, 0.1, -0.2, 0.9, 0.4, -1.3}, {3, 2}),
                           from_vector<double>({2, 3}, {2})};
  const DifferentiableFunction f = [](std::span<const Tensor> x) {
    const Tensor y = tanh(matmul(x[0], x[1])) * x[2];
    return std::vector<Tensor>{y, softmax(y), argmax(y, 1)};
  };
  const GradcheckResult result = gradcheck(f, inputs, {.second_order = true});
  INFO(result.report);
  CHECK(result.passed);
  CHECK(result.largest_error < 1e-5);
  CHECK(!inputs[0].grad());
  CHECK(inputs[0].to_vector<double>()[0] == 0.3);
}

TEST_CASE("gradcheck finds a gradient that is cut off") {
  const Tensor x = leaf({0.5, 2}, {2});
  const GradcheckResult result = gradcheck([](const Tensor& t) { return t * t.detach(); }, x);
  CHECK(!result);
  CHECK(result.largest_error == Approx(2).epsilon(1e-3));
  CHECK(result.report.find("element 1") != std::string::npos);
}

TEST_CASE("gradcheck finds a second derivative that is wrong though the first is right") {
  const Tensor x = leaf({0.5, 2}, {2});
  // y = x^2 by its tangent at the point: first derivative 2x, no second one.
  const auto tangent = [](const Tensor& t) {
    const Tensor at = t.detach();
    return at * at + 2.0 * at * (t - at);
  };
  CHECK(gradcheck(tangent, x));
  CHECK(!gradcheck(tangent, x, {.second_order = true}));
}

TEST_CASE("gradcheck refuses what it cannot check") {
  Tensor single = ones({2});
  CHECK_THROWS_AS(gradcheck([](const Tensor& t) { return t; }, single), UserError);
  single.set_requires_grad();
  CHECK_THROWS_AS(gradcheck([](const Tensor& t) { return t; }, single), UserError);
}

TEST_CASE("grad takes lists and options") {
  const Tensor x = leaf({1, 2, 3}, {3}), unused = leaf({1}, {1});
  const Tensor y = sum(x * x * x);
  const Tensor first = grad({y}, {x, unused}, {.create_graph = true})[0];
  CHECK(first.to_vector<double>() == std::vector<double>{3, 12, 27});
  CHECK(grad({sum(first)}, {x})[0].to_vector<double>() == std::vector<double>{6, 12, 18});
  CHECK(grad({y}, {x, unused})[1].to_vector<double>() == std::vector<double>{0});
  const Tensor weight[] = {from_value<double>(2)};
  CHECK(grad({y}, {x}, {.output_gradients = weight})[0].to_vector<double>() == std::vector<double>{6, 24, 54});
  CHECK_THROWS_AS(grad({y}, {ones({1})}), UserError);
}
