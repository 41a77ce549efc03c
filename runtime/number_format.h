// Elements of a tensor as words of one width, by NumPy's rules.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "calque/print.h"
#include "runtime/kernels/eager.h"

namespace calque {

/// The elements at `offsets` (in elements, from the view's first), each padded so that they line up. Floats have the fewest
/// digits that tell them from their neighbours, at most options.precision of them, with exponents when the largest is at least
/// 1e8, the smallest (other than 0) below 1e-4, or they are more than 1000 times apart.
std::vector<std::string> format_elements(const kernels::View& view, std::span<const int64_t> offsets,
                                         const PrintOptions& options);

}  // namespace calque
