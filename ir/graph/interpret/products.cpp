// Matrix products as ordered chains of fma.
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

void interpret_matmul(const Evaluation& evaluation) { interpret_product_sum(evaluation); }

}  // namespace calque
