// Tensors of which each iteration of a loop has its own, as one tensor with a first axis of steps.
#pragma once

#include <span>
#include <vector>

#include "compiler/segment_graph.h"

namespace calque {

/// The slots that loops bind, for each loop and place in it those of all iterations in order. Iterations before the loop, which
/// differ in something else (states come from elsewhere), are among them with what they bind there.
std::vector<Steps> slot_sequences(const TraceTree& tree, TraceId begin, TraceId end);

/// The same program with one input for each of these lists of slots, and one output for each of these lists of held values.
/// Throws Uneven where a value of them must stay by itself: it is differentiated by, is a weight, or shares its elements with another one.
SegmentGraph with_sequences(const SegmentGraph& single, std::span<const Steps> slots, std::span<const Steps> values);
/// As in `like`, which is of the same program.
SegmentGraph with_sequences_of(const SegmentGraph& single, const SegmentGraph& like);

}  // namespace calque
