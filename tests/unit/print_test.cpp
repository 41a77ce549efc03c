// Printing of tensors: the layouts that NumPy documents, its summaries, and its columns.
#include "calque/print.h"

#include <catch2/catch.hpp>
#include <cmath>
#include <sstream>

#include "calque/ops.h"

using namespace calque;

namespace {

std::string printed(const Tensor& tensor) {
  std::ostringstream stream;
  stream << tensor;
  return stream.str();
}

Tensor doubles(const std::vector<double>& values) { return from_vector(values); }

}  // namespace

TEST_CASE("floats line up, with the digits they need") {
  CHECK(printed(doubles({1, 2.5, -3})) == "tensor([ 1. ,  2.5, -3. ])");
  CHECK(printed(doubles({0.1, 1.0 / 3})) == "tensor([0.1       , 0.33333333])");
  CHECK(printed(doubles({0.1 + 0.2})) == "tensor([0.3])");
  CHECK(printed(from_vector<float>({0.1f, 2})) == "tensor([0.1, 2. ], dtype=f32)");
  CHECK(printed(from_vector<double>({1, 2, 3, 4}, {2, 2})) == "tensor([[1., 2.],\n        [3., 4.]])");
}

TEST_CASE("exponents appear when magnitudes ask for them") {
  CHECK(printed(doubles({1e8, 1})) == "tensor([1.e+08, 1.e+00])");
  CHECK(printed(doubles({1e-5})) == "tensor([1.e-05])");
  CHECK(printed(doubles({1, 1001.5})) == "tensor([1.0000e+00, 1.0015e+03])");
  CHECK(printed(doubles({1e100, 1.5})) == "tensor([1.0e+100, 1.5e+000])");
  CHECK(to_string(doubles({1e-5, 1}), {.suppress_small = true}) == "tensor([0.00001, 1.     ])");
}

TEST_CASE("what is not finite gets the room it needs") {
  CHECK(printed(doubles({NAN, 1, INFINITY})) == "tensor([nan,  1., inf])");
  CHECK(printed(doubles({-INFINITY})) == "tensor([-inf])");
  CHECK(printed(doubles({-0.0, 0.0})) == "tensor([-0.,  0.])");
}

TEST_CASE("integers, bools, scalars and emptiness") {
  CHECK(printed(from_vector<int64_t>({1, -20})) == "tensor([  1, -20])");
  CHECK(printed(from_vector<int32_t>({7})) == "tensor([7], dtype=i32)");
  const bool flags[] = {true, false};
  CHECK(printed(from_span<bool>(flags, {2})) == "tensor([ True, False])");
  CHECK(printed(from_value<double>(1.5)) == "tensor(1.5)");
  CHECK(printed(from_value<bool>(true)) == "tensor(True)");
  CHECK(printed(zeros({0}, DType::f64)) == "tensor([], dtype=f64)");
  CHECK(printed(zeros({0, 3})) == "tensor([], shape=(0, 3), dtype=f32)");
  CHECK(printed(Tensor()) == "(no tensor)");
}

TEST_CASE("large tensors are summarised without reading their middle") {
  CHECK(printed(arange(1001)) == "tensor([   0,    1,    2, ...,  998,  999, 1000], shape=(1001,))");
  CHECK(to_string(arange(5), {.threshold = 4, .edge_items = 1}) == "tensor([0, ..., 4], shape=(5,))");
  CHECK(to_string(arange(5), {.threshold = 4, .edge_items = 0}).find("...") != std::string::npos);
  const std::string square = to_string(reshape(arange(16), {4, 4}), {.threshold = 4, .edge_items = 1});
  CHECK(square == "tensor([[ 0, ...,  3],\n        ...,\n        [12, ..., 15]], shape=(4, 4))");
  const Tensor wide = expand(zeros({1, 1}), {int64_t{1} << 35, int64_t{1} << 20});  // no memory holds it
  CHECK(printed(wide).find("...") != std::string::npos);
}

TEST_CASE("rows are broken at the end of the line, axes are set apart") {
  CHECK(to_string(arange(8), {.line_width = 20}) == "tensor([0, 1, 2, 3,\n        4, 5, 6, 7])");
  CHECK(printed(reshape(arange(4), {2, 1, 2})) == "tensor([[[0, 1]],\n\n        [[2, 3]]])");
  CHECK(printed(permute(reshape(arange(4), {2, 2}), {1, 0})) == "tensor([[0, 2],\n        [1, 3]])");
}

TEST_CASE("print options are checked and hold for the process") {
  const PrintOptions before = print_options();
  set_print_options({.precision = 2});
  CHECK(printed(doubles({1.0 / 3})) == "tensor([0.33])");
  set_print_options(before);
  CHECK_THROWS_AS(set_print_options({.precision = -1}), UserError);
  CHECK_THROWS_AS(set_print_options({.line_width = 0}), UserError);
}
