// Writes a recorded segment down as a graph whose loops were never unrolled.
#pragma once

#include <optional>

#include "compiler/segment_graph.h"

namespace calque {

/// What make_segment_graph() and then the pass `roll` would give, in time that does not depend on how often loops run.
///
/// The way is written down and rolled as if its loops had run a few times, and one and two times more. What steps are joined to is
/// padded, so all else is as it was recorded; every number in which the graphs differ grows by the same from one to the next, and so
/// it does up to how often the loops ran: rolling compares iterations without counting them. Empty where no loop is long, or
/// something grows in another way: then the loops have to be unrolled.
///
/// The value ids of held values and their views are those of the shortest: they tell which are the same.
///
/// A tensor of which each iteration binds its own is one input with those of all steps, and a value that is held of each iteration
/// one output.
std::optional<SegmentGraph> make_rolled_graph(const TraceTree& tree, TraceId begin, TraceId end,
                                              std::span<const uint32_t> held, const std::string& name);

}  // namespace calque
