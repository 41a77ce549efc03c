// Brings the records of a way from the sizes of one call to those of another.
#pragma once

#include <span>

#include "compiler/way_position.h"
#include "runtime/observer.h"

namespace calque {

/// The node's op is asked for with operands that are the recorded ones but for sizes; `fresh` are those that its new slots
/// would be bound to. True when its records, with symbols bound to the sizes of `fresh`, are what is asked for in this
/// iteration of its loop; they then hold these sizes.
bool resize(TraceTree& tree, TraceId id, std::span<const TensorImpl* const> fresh, const OpCall& call, int64_t iteration);

/// The same for a node that stands apart, whose results are bound.
bool resize_apart(TraceTree& tree, TraceId id, std::span<const Tensor> results);

/// The segment that `end` closes, with these sizes and without loops, to be looked at.
struct ResizedWay {
  TraceTree tree;
  TraceId begin, end;
};
ResizedWay resized_way(const TraceTree& tree, TraceId end, const BoundSizes& sizes);
/// With those of the tree, which its records may not hold yet.
ResizedWay resized_way(const TraceTree& tree, TraceId end);

/// What the node says of the sizes of one of its new slots; null if they never change.
const SizedSlot* sized_slot(const TraceNode& node, size_t slot);

}  // namespace calque
