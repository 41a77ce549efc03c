// Compares each new segment with those that began on its way.
#include "compiler/segment_loops.h"

#include <optional>

#include "compiler/loose_segment.h"
#include "compiler/segment.h"

namespace calque {

namespace {

using Kind = TraceNode::Kind;

class Closer {
 public:
  Closer(TraceTree& tree, TraceId fork) : tree_(tree), fork_(fork) {}

  std::optional<ClosedWay> run() {
    for (TraceId end = fork_; end < tree_.size(); ++end) {
      if (tree_[end].kind != Kind::end) continue;
      const LooseSegment now = segment_of(tree_, end);
      int left = kMostCompared;
      for (TraceId old = end; old-- > 0 && left > 0;) {
        if (!may_repeat(old, end)) continue;
        --left;
        const std::optional<Repeated> repeated = as_repeated(segment_of(tree_, old), now);
        if (!repeated) continue;
        if (std::optional<ClosedWay> closed = close(old, end, repeated->segment, repeated->has_apart)) return closed;
      }
    }
    return std::nullopt;
  }

 private:
  static constexpr int kMostCompared = 64;  // earlier segments, with each new one

  bool may_repeat(TraceId old, TraceId now) const {
    const TraceNode &a = tree_[old], &b = tree_[now];
    if (a.kind != Kind::end) return false;
    const TraceNode &last = tree_[a.parent], &last_now = tree_[b.parent];
    if (!same_op(last, last_now)) return false;
    if (a.segment_begin == b.segment_begin) return tree_[a.segment_begin].is_junction;
    for (TraceId id = b.segment_begin; id != kNoTrace; id = tree_[id].parent)
      if (id == a.segment_begin) return true;
    return false;
  }

  TraceId first_node(TraceId end) const {
    TraceId first = end;
    while (tree_[first].parent != tree_[end].segment_begin) first = tree_[first].parent;
    return first;
  }

  /// The segment before the loop was recorded in this call, too: a first step that differs, say.
  bool has_new_lead(TraceId junction) const {
    return junction >= fork_ && tree_[junction].kind == Kind::end && first_node(junction) >= fork_;
  }

  std::optional<ClosedWay> close(TraceId old, TraceId now, const LooseSegment& segment, bool has_apart) {
    TraceId junction = tree_[old].segment_begin;
    const TraceId before = tree_[now].segment_begin;
    const bool replaces_old = has_apart && first_node(old) >= fork_;
    if (!replaces_old && is_known(junction, segment, before)) return std::nullopt;
    TraceNode end = tree_[now];
    if (has_apart) end.segment = std::make_shared<Segment>();
    note_apart(tree_, segment);
    TraceId first_added = kNoTrace;
    TraceId dropped = replaces_old ? first_node(old) : std::max(first_node(now), fork_);
    const bool is_whole = !replaces_old && now + 1 == tree_.size();
    if (replaces_old && has_new_lead(junction)) {
      const LooseSegment lead = with_apart(tree_, segment_of(tree_, junction));
      TraceNode lead_end = tree_[junction];
      lead_end.segment = std::make_shared<Segment>();
      dropped = first_node(junction);
      tree_.drop_way(dropped);
      const Inserted inserted = insert(tree_, lead_end.segment_begin, lead, std::move(lead_end));
      junction = inserted.end;
      first_added = inserted.first;
    } else {
      tree_.drop_way(dropped);
    }
    const Inserted written = insert(tree_, junction, segment, std::move(end));
    if (first_added == kNoTrace) first_added = written.first;
    tree_[written.end].goes_on_at = junction;
    if (before < dropped && before != junction) tree_[before].goes_on_at = junction;
    tree_[junction].is_junction = true;
    // What was written may be a way of its own, beside what is left of the recorded one.
    const bool is_apart = first_added != kNoTrace && tree_[first_added].parent < fork_;
    return ClosedWay{fork_ < dropped && !is_apart ? fork_ : first_added, written.end, is_whole};
  }

  /// Whether nothing would change: the call met the segment and did not go that way for another reason.
  bool is_known(TraceId junction, const LooseSegment& segment, TraceId before) const {
    const TraceId end = known_part(tree_, junction, segment).end;
    return end != kNoTrace && tree_[end].goes_on_at == junction && (before == junction || tree_[before].goes_on_at == junction);
  }

  TraceTree& tree_;
  const TraceId fork_;
};

}  // namespace

ClosedWay close_loops(TraceTree& tree, TraceId fork, TraceId end) {
  if (std::optional<ClosedWay> closed = Closer(tree, fork).run()) return *closed;
  return {fork, end, true};
}

}  // namespace calque
