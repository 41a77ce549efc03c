// Writes nodes of a segment with other numbers of values and slots.
#pragma once

#include <optional>
#include <span>
#include <vector>

#include "compiler/trace.h"

namespace calque {

/// The nodes of `segment` from `first` on, as those of a segment of their own: what was made or bound before them is bound where
/// they first use it. Nodes for which `is_apart` holds (same length as `segment`) become ones of that kind. Numbers count loops
/// as gone through once. Nothing where that cannot be: in every iteration of a loop something would be bound anew, or what is to
/// stand apart takes what does not.
std::optional<std::vector<TraceNode>> renumbered(std::span<const TraceNode> segment, size_t first, const std::vector<bool>& is_apart);

/// Ops that may stand apart: they do no work worth a plan.
bool may_stand_apart(const TraceNode& node);

}  // namespace calque
