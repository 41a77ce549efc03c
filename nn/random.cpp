// The initialisers, made of uniform and normal numbers.
#include "calque/nn/random.h"

#include <cmath>
#include <span>
#include <string>
#include <vector>

#include "calque/autograd.h"

namespace calque::nn {

namespace {

void check_matrix(const char* initialiser, int64_t inputs, int64_t outputs, double factor) {
  if (inputs < 1 || outputs < 1)
    throw UserError(std::string(initialiser) + ": a matrix needs inputs and outputs, got [" + std::to_string(inputs) + ", " +
                    std::to_string(outputs) + "]");
  if (!std::isfinite(factor)) throw UserError(std::string(initialiser) + ": the gain or slope is not a finite number");
}

double xavier_deviation(int64_t inputs, int64_t outputs, double gain) {
  return gain * std::sqrt(2.0 / static_cast<double>(inputs + outputs));
}

double kaiming_deviation(int64_t inputs, double slope) {
  return std::sqrt(2.0 / ((1 + slope * slope) * static_cast<double>(inputs)));
}

Tensor uniform_of_deviation(int64_t inputs, int64_t outputs, double deviation) {
  const double bound = std::sqrt(3.0) * deviation;
  return uniform({inputs, outputs}, -bound, bound);
}

double dot(std::span<const double> a, std::span<const double> b) {
  double sums[4] = {};  // four chains of additions side by side
  size_t i = 0;
  for (; i + 4 <= a.size(); i += 4)
    for (size_t k = 0; k < 4; ++k) sums[k] += a[i + k] * b[i + k];
  for (; i < a.size(); ++i) sums[0] += a[i] * b[i];
  return (sums[0] + sums[1]) + (sums[2] + sums[3]);
}

/// Makes the rows orthonormal, in turn. Of normal numbers this gives the uniform distribution, since what Gram and Schmidt divide
/// by is positive (Mezzadri 2007); taken twice, the rows are orthogonal to rounding (Giraud, Langou, Rozloznik 2005).
void orthonormalise(std::vector<double>& matrix, size_t rows, size_t columns) {
  const auto row = [&](size_t i) { return std::span(matrix).subspan(i * columns, columns); };
  for (size_t i = 0; i < rows; ++i) {
    for (int pass = 0; pass < 2; ++pass)
      for (size_t j = 0; j < i; ++j) {
        const double along = dot(row(i), row(j));
        for (size_t k = 0; k < columns; ++k) row(i)[k] -= along * row(j)[k];
      }
    const double length = std::sqrt(dot(row(i), row(i)));
    for (double& x : row(i)) x /= length;
  }
}

}  // namespace

Tensor uniform(const Shape& shape, double low, double high) {
  // In f64, so that rounding cannot reach `high` before the conversion does; the largest float below it then
  // stands in.
  const NoGradGuard guard;
  const Tensor wide = rand(shape, DType::f64) * (high - low) + low;
  const double last = std::nextafter(static_cast<float>(high), static_cast<float>(low));
  return minimum(cast(wide, DType::f32), full({}, low < high ? last : high));
}

Tensor normal(const Shape& shape, double mean, double deviation) {
  const NoGradGuard guard;
  return cast(randn(shape, DType::f64) * deviation + mean, DType::f32);
}

Tensor xavier(int64_t inputs, int64_t outputs, double gain) {
  check_matrix("xavier", inputs, outputs, gain);
  const double bound = gain * std::sqrt(6.0 / static_cast<double>(inputs + outputs));
  return uniform({inputs, outputs}, -bound, bound);
}

Tensor xavier_normal(int64_t inputs, int64_t outputs, double gain) {
  check_matrix("xavier_normal", inputs, outputs, gain);
  return normal({inputs, outputs}, 0, xavier_deviation(inputs, outputs, gain));
}

Tensor kaiming(int64_t inputs, int64_t outputs, double negative_slope) {
  check_matrix("kaiming", inputs, outputs, negative_slope);
  return uniform_of_deviation(inputs, outputs, kaiming_deviation(inputs, negative_slope));
}

Tensor kaiming_normal(int64_t inputs, int64_t outputs, double negative_slope) {
  check_matrix("kaiming_normal", inputs, outputs, negative_slope);
  return normal({inputs, outputs}, 0, kaiming_deviation(inputs, negative_slope));
}

Tensor orthogonal(int64_t inputs, int64_t outputs, double gain) {
  check_matrix("orthogonal", inputs, outputs, gain);
  const NoGradGuard guard;
  const bool is_wide = inputs <= outputs;
  const int64_t rows = is_wide ? inputs : outputs, columns = is_wide ? outputs : inputs;
  std::vector<double> matrix = randn({rows, columns}, DType::f64).to_vector<double>();
  orthonormalise(matrix, static_cast<size_t>(rows), static_cast<size_t>(columns));
  const Tensor result = cast(from_vector(matrix, {rows, columns}) * gain, DType::f32);
  return is_wide ? result : transpose(result).contiguous();
}

}  // namespace calque::nn
