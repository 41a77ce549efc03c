// Writes a recorded way anew as a segment for each step.
#include "compiler/cut_way.h"

#include "compiler/find_cut.h"
#include "compiler/loose_segment.h"
#include "compiler/merge_ways.h"
#include "compiler/reasons.h"
#include "compiler/renumber.h"
#include "compiler/roll_way.h"
#include "compiler/segment.h"
#include "compiler/way_position.h"

namespace calque {

namespace {

using Kind = TraceNode::Kind;

class Cutter {
 public:
  Cutter(TraceTree& tree, TraceId fork) : tree_(tree), fork_(fork), begin_(tree.segment_before(fork)) {}

  CutWay run() {
    if (!may_cut()) return {};
    for (TraceId first = fork_; first < tree_.size(); first = last_ + 1) {
      read_segment(first);
      if (const size_t place = place_of_known_cut(); place < straight_.size()) return {true, write(place), false, {}};
      if (first != fork_) continue;
      if (const std::optional<CutPoint> cut = find_cut(straight_); cut && was_otherwise(*cut)) return cut_anew(*cut);
    }
    return {};
  }

 private:
  static constexpr size_t kMostSteps = 48;  // of one call that are looked at

  /// Not where nothing was cut before and no other call went this far.
  bool may_cut() const {
    for (TraceId id = 0; id < fork_; ++id)
      if (tree_[id].cut_location || tree_[id].kind == Kind::end) return true;
    return false;
  }

  /// The segment that the new node `first` is in, without loops.
  void read_segment(TraceId first) {
    begin_ = tree_.segment_before(first);
    last_ = first;
    while (last_ + 1 < tree_.size() && tree_[last_].kind != Kind::end) ++last_;
    is_last_ = last_ + 1 == tree_.size();
    straight_ = straight_nodes(begin_, last_);
    end_.reset();
    if (tree_[last_].kind == Kind::end) {
      end_ = tree_[last_];
      straight_.pop_back();
    }
    first_new_ = first;
    parent_ = tree_[first].parent;
    new_ = straight_.size() - (last_ + (end_ ? 0u : 1u) - first);
    const auto gap = std::ranges::find_if(straight_, [](const TraceNode& node) { return node.omitted.iterations > 0; });
    if (gap == straight_.end()) return;
    straight_.erase(gap, straight_.end());  // the steps before it are more than are looked at
    end_.reset();
  }

  std::vector<TraceNode> straight_nodes(TraceId begin, TraceId end) const {
    const StraightWay way(tree_, begin, end);
    std::vector<TraceNode> nodes;
    for (TraceId id : way.path()) nodes.push_back(way.tree()[id]);
    return nodes;
  }

  bool is_known_cut(const TraceNode& node) const {
    for (TraceId id = begin_; id != kNoTrace; id = tree_[id].parent)
      if (tree_[id].cut_location && CutPoint{tree_[id].cut_op, tree_[id].cut_location}.begins(node)) return true;
    return false;
  }

  /// Among the new nodes.
  size_t place_of_known_cut() const {
    size_t place = std::max<size_t>(new_, 1);
    while (place < straight_.size() && !is_known_cut(straight_[place])) ++place;
    return place;
  }

  /// Whether other calls went through the loop in another order; several, where this one looks like a few regular loops.
  bool was_otherwise(const CutPoint& cut) const {
    constexpr int kSeveral = 6;
    int left = is_mostly_regular(straight_) ? kSeveral : 1;
    for (TraceId end = 0; end < fork_ && left > 0; ++end)
      if (tree_[end].kind == Kind::end && tree_[end].segment_begin == begin_ &&
          differ_in_order(straight_nodes(begin_, tree_[end].parent), straight_, cut))
        --left;
    return left == 0;
  }

  CutWay cut_anew(const CutPoint& cut) {
    tree_[begin_].cut_op = cut.op;
    tree_[begin_].cut_location = cut.location;
    tree_.drop_way(fork_);
    CutWay way;
    while (tree_[begin_].first_child != kNoTrace) tree_.remove(tree_[begin_].first_child, way.removed);
    first_new_ = static_cast<TraceId>(tree_.size());
    new_ = 0;
    way.is_cut = way.is_new = true;
    way.is_whole = write(place_of_known_cut());
    return way;
  }

  /// The first step ends at `place`. False where not all was written.
  bool write(size_t place) {
    const TraceId junction = junction_at(straight_[place]);
    if (first_new_ < tree_.size()) tree_.drop_way(first_new_);
    if (fork_ < first_new_) begin_ = roll_way(tree_, fork_);  // segments before this one
    tree_[junction].is_junction = true;
    const bool are_all = take_steps(place);
    learn_what_stands_apart(junction);
    if (place > 0) put_first(junction);
    for (size_t i = 1; i < steps_.size(); ++i) put(junction, steps_[i], i + 1 < steps_.size() || !are_all);
    return is_last_ && are_all && end_.has_value();
  }

  TraceId junction_at(const TraceNode& node) const {
    TraceId id = begin_;
    while (!tree_[id].cut_location || !CutPoint{tree_[id].cut_op, tree_[id].cut_location}.begins(node)) id = tree_[id].parent;
    return id;
  }

  /// Each step as a segment of its own; not the last one where its end was not recorded. Whether these are all.
  bool take_steps(size_t place) {
    for (size_t first = 0; first < straight_.size(); first = place++) {
      while (place < straight_.size() && !is_known_cut(straight_[place])) ++place;
      if (place == straight_.size() && !end_) return false;
      if (steps_.size() == kMostSteps) return false;
      std::optional<std::vector<TraceNode>> nodes =
          renumbered(std::span(straight_).first(place), first, std::vector<bool>(place, false));
      steps_.push_back(rolled(std::move(nodes.value())));
    }
    return true;
  }

  LooseSegment rolled(std::vector<TraceNode> nodes) const {
    TraceTree by_itself = tree_.with_sizes_only();
    TraceId last = 0;
    nodes.push_back(new_end(0));
    for (TraceNode& node : nodes) {
      node.parent = node.first_child = node.next_sibling = kNoTrace;
      last = by_itself.add(last, std::move(node));
    }
    return segment_of(by_itself, roll_way(by_itself, 1));
  }

  /// What differs between steps that ask for the same otherwise.
  void learn_what_stands_apart(TraceId junction) {
    for (size_t i = 0; i < steps_.size(); ++i) {
      for (size_t k = 0; k < i; ++k)
        if (const auto repeated = as_repeated(steps_[k], steps_[i])) note_apart(tree_, repeated->segment);
      for (TraceId end = 0; end < tree_.size(); ++end)
        if (tree_[end].kind == Kind::end && tree_[end].segment_begin == (i == 0 ? begin_ : junction))
          if (const auto repeated = as_repeated(segment_of(tree_, end), steps_[i])) note_apart(tree_, repeated->segment);
    }
    for (LooseSegment& step : steps_) step = with_apart(tree_, std::move(step));
  }

  /// The first step goes on where the call left what was known.
  void put_first(TraceId junction) {
    if (new_ == 0 || known_part(tree_, begin_, steps_[0]).count >= new_) return put_behind(begin_, junction, steps_[0], true);
    TraceId last = parent_;
    for (size_t i = new_; i < straight_.size() && !is_known_cut(straight_[i]); ++i) last = add(last, straight_[i]);
    if (const TraceId end = tree_.end_after(last); end != kNoTrace) return close(end, junction);
    add(last, new_end(begin_));
    close(roll_way(tree_, first_new_), junction);
  }

  /// A step whose beginning is a known one goes on with a segment of its own there.
  void put(TraceId junction, const LooseSegment& step, bool is_step) {
    const size_t known = known_part(tree_, junction, step).count_to_cut;
    if (is_step || known == 0 || !step.loops.empty()) return put_behind(junction, junction, step, is_step);
    std::optional<std::vector<TraceNode>> rest = renumbered(step.nodes, known, std::vector<bool>(step.nodes.size(), false));
    put_behind(junction, junction, {std::move(rest.value()), {}}, false);
  }

  void put_behind(TraceId begin, TraceId junction, const LooseSegment& step, bool is_step) {
    TraceNode end = is_step ? new_end(begin) : *end_;
    if (!is_step) end.segment = std::make_shared<Segment>();
    Inserted inserted = insert(tree_, begin, step, std::move(end));
    if (is_step) close(inserted.end, junction);
    if (inserted.first != kNoTrace) merge_way(tree_, inserted.first, inserted.end);
  }

  void close(TraceId end, TraceId junction) {
    tree_[end].is_cut = true;
    if (end != junction) tree_[end].goes_on_at = junction;
  }

  TraceNode new_end(TraceId begin) const {
    TraceNode end;
    end.kind = Kind::end;
    end.segment_begin = begin;
    end.reason = row(Reason::steps_differ).phrase;
    end.segment = std::make_shared<Segment>();
    end.sample = straight_.back().sample;
    return end;
  }

  TraceId add(TraceId parent, TraceNode node) {
    node.parent = node.first_child = node.next_sibling = kNoTrace;
    return tree_.add(parent, std::move(node));
  }

  TraceTree& tree_;
  TraceId fork_;
  TraceId begin_, last_ = 0;          // of the segment: the node before it, and its last
  bool is_last_ = false;              // of the way
  std::vector<TraceNode> straight_;   // its nodes
  std::optional<TraceNode> end_;      // if it was recorded
  TraceId first_new_ = 0;
  size_t new_ = 0;                    // the same among straight_
  TraceId parent_ = kNoTrace;         // of the first new node
  std::vector<LooseSegment> steps_;
};

}  // namespace

CutWay cut_way(TraceTree& tree, TraceId fork) { return Cutter(tree, fork).run(); }

}  // namespace calque
