// Finds the segments of a way that come again: what goes from border to border in a loop is recorded once.
#pragma once

#include "compiler/trace.h"

namespace calque {

/// What is left of a way that was just recorded.
struct ClosedWay {
  TraceId first;   // of its nodes that are new; none where all were known
  TraceId end;
  bool is_whole;   // else the next call records what follows the first loop
};

/// A call recorded the way from `fork` to `end`, the last nodes of the tree. Where a segment of it is one that was there before on
/// the way, the one before it goes on where that one began, and what was recorded from there on is taken back. Ops on tensors
/// from outside whose attributes differ between the two (a step of a sequence, a number) stand apart from now on.
ClosedWay close_loops(TraceTree& tree, TraceId fork, TraceId end);

}  // namespace calque
