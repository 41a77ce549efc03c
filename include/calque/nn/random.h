// Initial parameters: random tensors of the shapes and scales that layers start from.
#pragma once

#include "calque/random.h"

#pragma GCC visibility push(default)

namespace calque::nn {

// Drawn from default_generator(). Results are f32. A matrix is [inputs, outputs], as that of Linear. For zeros and ones there
// are the ops of these names.

/// Uniform in [low, high).
Tensor uniform(const Shape& shape, double low, double high);
Tensor normal(const Shape& shape, double mean = 0, double deviation = 1);
/// Uniform within +-gain * sqrt(6 / (inputs + outputs)) (Glorot, Bengio: Understanding the difficulty of training deep
/// feedforward neural networks. AISTATS 2010).
Tensor xavier(int64_t inputs, int64_t outputs, double gain = 1);
/// Normal, with the variance of xavier: deviation gain * sqrt(2 / (inputs + outputs)).
Tensor xavier_normal(int64_t inputs, int64_t outputs, double gain = 1);
/// For layers before relu, or a leaky relu of this slope: uniform within +-sqrt(6 / ((1 + slope^2) * inputs)) (He, Zhang, Ren,
/// Sun: Delving deep into rectifiers. ICCV 2015).
Tensor kaiming(int64_t inputs, int64_t outputs, double negative_slope = 0);
/// Normal, with the variance of kaiming: deviation sqrt(2 / ((1 + slope^2) * inputs)).
Tensor kaiming_normal(int64_t inputs, int64_t outputs, double negative_slope = 0);
/// gain times a matrix whose rows (or columns, where these are fewer) are orthonormal, uniformly distributed among all such
/// (Saxe, McClelland, Ganguli: Exact solutions to the nonlinear dynamics of learning in deep linear neural networks. ICLR 2014).
Tensor orthogonal(int64_t inputs, int64_t outputs, double gain = 1);

// Each throws UserError for a matrix without elements, and numbers that are not finite.

}  // namespace calque::nn

#pragma GCC visibility pop
