// A tensor's elements as numbers to calculate with.
#pragma once

#include <vector>

#include "calque/ops.h"

namespace calque::test {

inline std::vector<double> numbers_of(const Tensor& x) { return cast(x.detach(), DType::f64).to_vector<double>(); }

}  // namespace calque::test
