// Two recorded ways that differ in nothing but sizes become one, which is symbolic in these.
#pragma once

#include "compiler/trace.h"

namespace calque {

/// A call recorded the way from `fork`, the last node of its parent, to `end`, the last node of the tree. Where an older way
/// asks for the same but for sizes, that one is made symbolic in the sizes that differ, and the new one taken back. Gives the
/// node that stands for the end from now on.
TraceId merge_way(TraceTree& tree, TraceId fork, TraceId end);

}  // namespace calque
