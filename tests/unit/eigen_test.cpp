// Tensors and Eigen on the same memory. Without Eigen's headers this is empty, and CTest shows the test as skipped.
#include <catch2/catch.hpp>

#if __has_include(<Eigen/Core>)

#include "calque/eigen.h"
#include "calque/ops.h"

using namespace calque;

TEST_CASE("a tensor is read as an Eigen matrix where it lies, whatever its strides", "[eigen]") {
  const Tensor x = from_vector<float>({1, 2, 3, 4, 5, 6}, {2, 3});
  const auto m = as_eigen<const float>(x);
  CHECK((m.rows() == 2 && m.cols() == 3));
  CHECK(m.data() == x.data<float>());
  CHECK((m(0, 2) == 3 && m(1, 0) == 4));
  const Tensor t = transpose(x), part = slice(x, 1, 1, 3);
  CHECK(as_eigen<const float>(t) == m.transpose());
  CHECK(as_eigen<const float>(part) == m.rightCols(2));
  const Eigen::MatrixXf product = as_eigen<const float>(t) * m;
  CHECK(from_eigen(product).to_vector<float>() == matmul(t, x).to_vector<float>());
  const Tensor v = from_vector<double>({1, 2, 3});
  CHECK(as_eigen<const double>(v).col(0).dot(as_eigen<const double>(v).col(0)) == 14);
}

TEST_CASE("what Eigen writes into a tensor counts as a write in place", "[eigen]") {
  Tensor x = zeros({2, 2});
  const uint32_t before = x.version();
  as_eigen<float>(x) = Eigen::Matrix2f::Identity();
  CHECK(x.to_vector<float>() == std::vector<float>{1, 0, 0, 1});
  CHECK(x.version() > before);
}

TEST_CASE("an Eigen matrix becomes a tensor without a copy of its elements", "[eigen]") {
  Eigen::MatrixXd columns(2, 3);
  columns << 1, 2, 3, 4, 5, 6;
  const double* at = columns.data();
  const Tensor x = from_eigen(std::move(columns));
  CHECK(x.data<double>() == at);
  CHECK(x.shape() == Shape{2, 3});
  CHECK(x.to_vector<double>() == std::vector<double>{1, 2, 3, 4, 5, 6});
  CHECK(sum(x + 1.0).item() == 27);
  const Eigen::Matrix<int64_t, 2, 2, Eigen::RowMajor> rows{{1, 2}, {3, 4}};
  CHECK(from_eigen(rows + rows).to_vector<int64_t>() == std::vector<int64_t>{2, 4, 6, 8});
  CHECK(from_eigen(Eigen::VectorXf::Ones(3)).shape() == Shape{3, 1});
  const Eigen::Array<bool, 1, 2> flags{true, false};
  CHECK(from_eigen(flags).to_vector<bool>() == std::vector<bool>{true, false});
}

TEST_CASE("Eigen maps are refused where dtype or rank differ", "[eigen]") {
  const Tensor x = zeros({2, 2}), cube = zeros({2, 2, 2});
  CHECK_THROWS_AS(as_eigen<const double>(x), UserError);
  CHECK_THROWS_AS(as_eigen<const float>(cube), UserError);
}

#endif
