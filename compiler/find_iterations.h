// What repeats in a recorded way.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "compiler/trace.h"

namespace calque {

inline constexpr size_t kMostNodesOfIteration = 4096;

/// Nodes [first, first + period) are an iteration that `trips` more follow which ask for the same: numbers of operands and
/// integers among the attributes stay, or grow by as much each time. Those `omitted` have no nodes.
struct Iterations {
  size_t first, period;
  int64_t trips, omitted = 0;
  size_t end() const { return first + period * static_cast<size_t>(trips + 1 - omitted); }
};

/// Whether `b` could be what `a` is, one iteration later.
bool is_repeated(const TraceNode& a, const TraceNode& b);
/// Whether what differs between `a` and `b` differs as much in each of the iterations from `b` to `c`.
bool goes_on(const TraceNode& a, const TraceNode& b, const TraceNode& c, int64_t iterations);

/// The iterations among the nodes [begin, end) of a way without loops, in order; all are ops. Where some were omitted, there is a
/// loop.
std::vector<Iterations> find_iterations(std::span<const TraceNode* const> way, size_t begin, size_t end);

}  // namespace calque
