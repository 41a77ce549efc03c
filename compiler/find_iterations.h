// What repeats in a recorded way.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "compiler/trace.h"

namespace calque {

/// Nodes [first, first + period) are an iteration that `trips` more follow which ask for the same: numbers of operands and
/// integers among the attributes stay, or grow by as much each time.
struct Iterations {
  size_t first, period;
  int64_t trips;
  size_t end() const { return first + period * static_cast<size_t>(trips + 1); }
};

/// The iterations among the nodes [begin, end) of a way without loops, in order; all are ops.
std::vector<Iterations> find_iterations(std::span<const TraceNode* const> way, size_t begin, size_t end);

}  // namespace calque
