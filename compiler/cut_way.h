// Cuts ways into their iterations where these differ from step to step in another order each time.
#pragma once

#include <memory>
#include <vector>

#include "compiler/trace.h"

namespace calque {

struct CutWay {
  bool is_cut = false;    // else nothing has changed
  bool is_whole = false;  // else the next call records what followed
  bool is_new = false;    // ways known before were removed
  std::vector<std::shared_ptr<Segment>> removed{};  // of them
};

/// A call recorded the way from `fork` to the last node of the tree, not rolled yet. Where it does in the same segment what another
/// call did, with the bodies of a loop in another order, each iteration becomes a segment of its own from now on, in whatever order
/// they come, and what was recorded there before is removed. Later ways are cut at the same op.
CutWay cut_way(TraceTree& tree, TraceId fork);

}  // namespace calque
