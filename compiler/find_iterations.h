// What repeats in a recorded way.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "compiler/reasons.h"
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

/// Why `b` could not be what `a` is, one iteration later; none if it could.
std::optional<Reason> difference(const TraceNode& a, const TraceNode& b);
/// Why what differs between `a` and `b` does not differ as much in each of the iterations from `b` to `c`; none if it does.
std::optional<Reason> deviation(const TraceNode& a, const TraceNode& b, const TraceNode& c, int64_t iterations);
inline bool is_repeated(const TraceNode& a, const TraceNode& b) { return !difference(a, b); }
inline bool goes_on(const TraceNode& a, const TraceNode& b, const TraceNode& c, int64_t iterations) {
  return !deviation(a, b, c, iterations);
}

/// Whether a call that did what was recorded would go on to another iteration at `next`, where the loop was left: it would not
/// find the way again.
bool begins_like(std::span<const TraceNode* const> way, const Iterations& loop, const TraceNode& next);

/// The iterations among the nodes [begin, end) of a way without loops, in order; all are ops. What follows one begins unlike
/// another.
std::vector<Iterations> find_iterations(std::span<const TraceNode* const> way, size_t begin, size_t end);

}  // namespace calque
