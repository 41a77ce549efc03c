// A segment taken out of its tree, to be compared with others and put in where it is to stand.
#pragma once

#include <optional>
#include <vector>

#include "compiler/trace.h"

namespace calque {

struct LooseSegment {
  struct Loop {
    size_t first;  // of the nodes
    TraceLoop loop;
    int64_t trips;
  };
  std::vector<TraceNode> nodes;  // without the end
  std::vector<Loop> loops;
};

/// A copy of the segment that `end` closes.
LooseSegment segment_of(const TraceTree& tree, TraceId end);

/// Whether both are the same op at the same place in the loops of their segments, whatever they take.
bool same_op(const TraceNode& a, const TraceNode& b);

/// The later segment as it is to be written, if it is the old one but for attributes of ops that may stand apart: these do, then.
struct Repeated {
  LooseSegment segment;
  bool has_apart;
};
std::optional<Repeated> as_repeated(const LooseSegment& old, const LooseSegment& now);

/// The segment with what stands apart elsewhere standing apart here, too, where it can.
LooseSegment with_apart(const TraceTree& tree, LooseSegment segment);
/// What stands apart in it does so elsewhere from now on.
void note_apart(TraceTree& tree, const LooseSegment& segment);

/// How far a segment is known already.
struct KnownPart {
  TraceId last;           // `begin` where nothing is
  size_t count;           // of its nodes; loops as a whole
  TraceId end;            // behind all of it
  size_t count_to_cut;    // nodes up to the last end at which steps are cut, before all of it
};
KnownPart known_part(const TraceTree& tree, TraceId begin, const LooseSegment& segment);

/// Puts a segment behind `begin`, sharing what begins alike. `end` is what closes it if nothing does yet.
struct Inserted {
  TraceId first;  // node that is new; none where all were known
  TraceId end;
};
Inserted insert(TraceTree& tree, TraceId begin, const LooseSegment& segment, TraceNode end);

}  // namespace calque
