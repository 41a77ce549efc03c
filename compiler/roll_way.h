// Finds the loops of a way that was just recorded, so that calls with other trip counts go the same way.
#pragma once

#include "compiler/trace.h"

namespace calque {

/// A call recorded the way from `fork` to the last node of the tree, which counts values and slots as that call did. Runs of
/// at least three equal iterations become loops, and everything is counted as on a way through these and earlier loops. Gives
/// the last node of the way from now on.
TraceId roll_way(TraceTree& tree, TraceId fork);

}  // namespace calque
