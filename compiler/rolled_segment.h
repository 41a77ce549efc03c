// Writes a recorded segment down as a graph whose loops were never unrolled.
#pragma once

#include <optional>

#include "compiler/segment_graph.h"
#include "compiler/way_numbers.h"

namespace calque {

/// Short calls of a way, written down and rolled. A call of another length has the same neighbours, where the sizes that grow with its
/// loops are as far from each other: they are not written again. Where two loops grow apart, there are several such cases.
struct RolledNeighbours {
  struct Call {
    WayNumbers numbers;
    WayNumbers::Held held;
    SegmentGraph segment;
  };
  uint64_t revision = 0;  // of the tree
  std::vector<BoundSizes> sizes;
  std::vector<Call> calls;
  bool is_uneven = false;  // they lead to no other length
};

/// What make_segment_graph() and then the pass `roll` would give, in time that does not depend on how often loops run.
///
/// The way is written down and rolled as if its loops had run a few times, and one and two times more, over sequences that are so
/// much shorter. Every number in which the graphs differ grows by the same from one to the next, and so it does up to how often the
/// loops ran: rolling compares iterations without counting them. Where that fails, since a size that grows with the loops is a
/// constant of the way (it was recorded at one length only, say), only loops are shorter, and what steps are joined to is padded, so
/// that all else is as it was recorded. Empty where no loop is long, or something grows in another way: then the loops have to be
/// unrolled.
///
/// The value ids of held values and their views are those of the shortest: they tell which are the same.
///
/// A tensor of which each iteration binds its own is one input with those of all steps, and a value that is held of each iteration
/// one output. `kept`: neighbours of earlier calls of the same segment; those of this one are added.
std::optional<SegmentGraph> make_rolled_graph(const TraceTree& tree, TraceId begin, TraceId end, std::span<const uint32_t> held,
                                              const std::string& name, std::vector<RolledNeighbours>& kept);

}  // namespace calque
