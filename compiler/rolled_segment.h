// Writes a recorded segment down as a graph whose loops were never unrolled.
#pragma once

#include <optional>

#include "compiler/segment_graph.h"

namespace calque {

/// What make_segment_graph() and then the pass `roll` would give, in time that does not depend on how often loops run.
///
/// `here` are the sizes of this call, `other` those of another one. On the line through both lie calls whose loops run a few
/// times. Three neighbours of these are written down and rolled; every number in which they differ grows by the same from one
/// to the next, and so it does up to `here`: numbers of a recorded way are polynomials of at most second degree in its
/// sizes, and rolling compares iterations without counting them. Empty where no such calls exist, or something grows in another
/// way: then the loops have to be unrolled.
///
/// The value ids of held values and their views are those of the first neighbour: they tell which are the same.
std::optional<SegmentGraph> make_rolled_graph(const TraceTree& tree, TraceId end, std::span<const uint32_t> held,
                                              const BoundSizes& here, const BoundSizes& other, const std::string& name);

}  // namespace calque
