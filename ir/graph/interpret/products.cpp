// Matrix products as ordered chains of fma.
#include <algorithm>
#include <cmath>

#include "ir/graph/interpret/evaluation.h"

namespace calque {

/// a row of a times a column of b: one chain over k from +0.
template <class T>
static T chain(const Literal& a, const Literal& b, int64_t row, int64_t column) {
  const int64_t depth = a.type.shape[1], columns = b.type.shape[1];
  T sum = 0;
  for (int64_t k = 0; k < depth; ++k)
    sum = std::fma(a.as<T>()[row * depth + k], b.as<T>()[k * columns + column], sum);
  return sum;
}

/// a0 b0 + a1 b1 + ...: the chains added in order.
template <class T>
static void products(const Evaluation& evaluation) {
  Literal& result = evaluation.result();
  const int64_t rows = result.type.shape[0], columns = result.type.shape[1];
  for (int64_t row = 0; row < rows; ++row) {
    for (int64_t column = 0; column < columns; ++column) {
      T sum = chain<T>(evaluation.input(0), evaluation.input(1), row, column);
      for (size_t i = 2; i < evaluation.inputs.size(); i += 2)
        sum += chain<T>(evaluation.input(i), evaluation.input(i + 1), row, column);
      result.as<T>()[row * columns + column] = sum;
    }
  }
}

void interpret_product_sum(const Evaluation& evaluation) {
  if (evaluation.result().type.dtype == DType::f32)
    products<float>(evaluation);
  else
    products<double>(evaluation);
}

/// The matrix of `x` that broadcasting puts at `place` of the leading axes of `to`, a shape of as many axes or more.
static Literal matrix_at(const Literal& x, const Place& place, const Shape& to) {
  const Shape& shape = x.type.shape;
  const int batch_rank = shape.rank() - 2;
  Literal matrix({x.type.dtype, Shape(shape.dims().last(2))});
  const int64_t which = broadcast_index(place, Shape(to.dims().first(to.rank() - 2)), Shape(shape.dims().first(batch_rank)));
  std::copy_n(x.bytes.begin() + which * matrix.bytes.size(), matrix.bytes.size(), matrix.bytes.begin());
  return matrix;
}

void interpret_matmul(const Evaluation& evaluation) {
  Literal& result = evaluation.result();
  const Shape& shape = result.type.shape;
  const Shape batch(shape.dims().first(shape.rank() - 2));
  for (int64_t i = 0; i < batch.element_count(); ++i) {
    const Place place = place_of(i, batch);
    const Literal a = matrix_at(evaluation.input(0), place, shape), b = matrix_at(evaluation.input(1), place, shape);
    Literal c({result.type.dtype, Shape(shape.dims().last(2))});
    const Literal* const factors[] = {&a, &b};
    interpret_product_sum({Op::product_sum, evaluation.attributes, factors, {&c, 1}});
    std::copy(c.bytes.begin(), c.bytes.end(), result.bytes.begin() + i * c.bytes.size());
  }
}

}  // namespace calque
