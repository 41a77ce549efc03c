// The initialisers, made of uniform and normal numbers.
#include "calque/nn/random.h"

#include <cmath>

#include "calque/autograd.h"

namespace calque::nn {

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

Tensor xavier(int64_t inputs, int64_t outputs) {
  const double bound = std::sqrt(6.0 / static_cast<double>(inputs + outputs));
  return uniform({inputs, outputs}, -bound, bound);
}

}  // namespace calque::nn
