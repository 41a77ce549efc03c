// Initial parameters: random tensors of the shapes and scales that layers start from.
#pragma once

#include "calque/random.h"

namespace calque::nn {

// Drawn from default_generator(). Results are f32.

/// Uniform in [low, high).
Tensor uniform(const Shape& shape, double low, double high);
Tensor normal(const Shape& shape, double mean = 0, double deviation = 1);
/// A matrix [inputs, outputs], uniform within +-sqrt(6 / (inputs + outputs)) (Glorot, Bengio 2010).
Tensor xavier(int64_t inputs, int64_t outputs);

}  // namespace calque::nn
