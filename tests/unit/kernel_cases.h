// What random tests of the kernels draw from.
#pragma once

#include <cstdint>
#include <random>
#include <vector>

#include "runtime/kernels/isa.h"

namespace calque::kernels {

using Random = std::mt19937_64;

inline int64_t pick(Random& random, int64_t low, int64_t high) {
  return std::uniform_int_distribution<int64_t>(low, high)(random);
}

/// The levels that this machine executes.
inline std::vector<IsaLevel> levels() {
  std::vector<IsaLevel> found;
  for (IsaLevel level : {IsaLevel::baseline, IsaLevel::avx2, IsaLevel::avx512})
    if (is_supported(level)) found.push_back(level);
  return found;
}

}  // namespace calque::kernels
