// Where a loop whose bodies come in no order is best cut into iterations.
#pragma once

#include <optional>
#include <span>
#include <vector>

#include "compiler/trace.h"

namespace calque {

/// An op of the function, wherever it stands in the trace: an iteration begins with it.
struct CutPoint {
  Op op{};
  const void* location = nullptr;
  bool begins(const TraceNode& node) const { return node.op == op && node.location == location && node.kind != TraceNode::Kind::end; }
};

/// The op at which the nodes of a segment, without loops, are cut into few distinct pieces. Nothing where they have no loop, or one
/// with the same body each time.
std::optional<CutPoint> find_cut(std::span<const TraceNode> segment);

/// Whether most of its nodes are in loops with the same body each time.
bool is_mostly_regular(std::span<const TraceNode> segment);

/// Whether two segments, cut there, are made of pieces in different orders; not whether one just goes on for longer.
bool differ_in_order(std::span<const TraceNode> a, std::span<const TraceNode> b, const CutPoint& cut);

}  // namespace calque
