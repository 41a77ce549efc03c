// Compares segments node by node.
#include "compiler/loose_segment.h"

#include "compiler/renumber.h"
#include "compiler/segment.h"

namespace calque {

namespace {

using Kind = TraceNode::Kind;

bool same_slot(const SlotRecord& a, const SlotRecord& b) {
  return a.is_alike_but_for_sizes(b) && a.shape == b.shape &&
         std::equal(a.strides.begin(), a.strides.begin() + a.shape.rank(), b.strides.begin());
}

bool same_result(const ResultRecord& a, const ResultRecord& b) {
  return a.dtype == b.dtype && a.requires_grad == b.requires_grad && a.shape == b.shape;
}

bool same_node(const TraceNode& a, const TraceNode& b) {
  if (a.kind != b.kind || !same_op(a, b) || a.inputs != b.inputs || a.first_value != b.first_value || a.first_slot != b.first_slot ||
      !std::equal(a.new_slots.begin(), a.new_slots.end(), b.new_slots.begin(), b.new_slots.end(), same_slot))
    return false;
  if (a.kind == Kind::apart) return true;
  return a.attributes == b.attributes && a.grows_like(b) &&
         std::equal(a.results.begin(), a.results.end(), b.results.begin(), b.results.end(), same_result);
}

TraceId child_like(const TraceTree& tree, TraceId parent, const TraceNode& node) {
  for (TraceId id = tree[parent].first_child; id != kNoTrace; id = tree[id].next_sibling)
    if (same_node(tree[id], node)) return id;
  return kNoTrace;
}

}  // namespace

bool same_op(const TraceNode& a, const TraceNode& b) {
  return a.op == b.op && a.grad_enabled == b.grad_enabled && a.location == b.location && a.level == b.level &&
         (a.loop == kNoLoop) == (b.loop == kNoLoop) && (a.next_iteration == kNoTrace) == (b.next_iteration == kNoTrace);
}

LooseSegment segment_of(const TraceTree& tree, TraceId end) {
  LooseSegment segment;
  for (TraceId id : tree.path(tree[end].segment_begin, tree[end].parent)) {
    if (const TraceLoop* loop = tree.loop_at(id)) segment.loops.push_back({segment.nodes.size(), *loop, tree.sizes()[loop->trips]});
    segment.nodes.push_back(tree[id]);
  }
  return segment;
}

std::optional<Repeated> as_repeated(const LooseSegment& old, const LooseSegment& now) {
  if (old.nodes.size() != now.nodes.size()) return std::nullopt;
  std::vector<bool> is_apart(now.nodes.size(), false);
  bool has_apart = false;
  for (size_t i = 0; i < now.nodes.size(); ++i) {
    const TraceNode &a = old.nodes[i], &b = now.nodes[i];
    if (!same_op(a, b)) return std::nullopt;
    if (a.kind == b.kind && (a.attributes == b.attributes || a.kind == Kind::apart)) continue;
    if (!may_stand_apart(b) || b.kind != Kind::op) return std::nullopt;
    has_apart = is_apart[i] = true;
  }
  Repeated repeated{now, has_apart};
  std::vector<TraceNode> expected = old.nodes;
  if (has_apart) {
    std::optional<std::vector<TraceNode>> of_now = renumbered(now.nodes, 0, is_apart), of_old = renumbered(old.nodes, 0, is_apart);
    if (!of_now || !of_old) return std::nullopt;
    repeated.segment.nodes = std::move(*of_now);
    expected = std::move(*of_old);
  }
  const std::vector<TraceNode>& made = repeated.segment.nodes;
  if (!std::equal(made.begin(), made.end(), expected.begin(), expected.end(), same_node)) return std::nullopt;
  return repeated;
}

LooseSegment with_apart(const TraceTree& tree, LooseSegment segment) {
  std::vector<bool> is_apart;
  for (const TraceNode& node : segment.nodes) is_apart.push_back(node.kind == Kind::op && tree.is_apart(node.op, node.location));
  if (std::ranges::count(is_apart, true) == 0) return segment;
  if (std::optional<std::vector<TraceNode>> nodes = renumbered(segment.nodes, 0, is_apart)) segment.nodes = std::move(*nodes);
  return segment;
}

void note_apart(TraceTree& tree, const LooseSegment& segment) {
  for (const TraceNode& node : segment.nodes)
    if (node.kind == Kind::apart) tree.note_apart(node);
}

KnownPart known_part(const TraceTree& tree, TraceId begin, const LooseSegment& segment) {
  KnownPart known{begin, 0, kNoTrace, 0};
  TraceId here = begin;
  for (size_t i = 0; i < segment.nodes.size(); ++i) {
    here = child_like(tree, here, segment.nodes[i]);
    if (here == kNoTrace) break;
    if (tree[here].loop != kNoLoop && tree[here].next_iteration == kNoTrace) continue;
    known.last = here;
    known.count = i + 1;
    const TraceId end = tree.end_after(here);
    if (known.count == segment.nodes.size()) known.end = end;
    else if (end != kNoTrace && tree[end].is_cut) known.count_to_cut = known.count;
  }
  return known;
}

Inserted insert(TraceTree& tree, TraceId begin, const LooseSegment& segment, TraceNode end) {
  const KnownPart known = known_part(tree, begin, segment);
  if (known.end != kNoTrace) return {kNoTrace, known.end};
  TraceId last = known.last, first_added = kNoTrace;
  const auto add = [&](TraceNode node) {
    node.generation = tree.generation();
    node.first_child = node.next_sibling = node.next_iteration = kNoTrace;
    node.loop = kNoLoop;
    last = tree.add(last, std::move(node));
    if (first_added == kNoTrace) first_added = last;
  };
  auto loop = segment.loops.begin();
  while (loop != segment.loops.end() && loop->first < known.count) ++loop;
  for (size_t i = known.count; i < segment.nodes.size(); ++i) {
    add(segment.nodes[i]);
    if (loop == segment.loops.end() || i + 1 < loop->first + loop->loop.length) continue;
    TraceLoop made = loop->loop;
    made.head = last + 1 - made.length;
    const uint32_t index = tree.add_loop(made, loop->trips);
    end.segment->add_sizes({{tree.loop(index).trips, loop->trips}});
    ++loop;
  }
  end.segment_begin = begin;
  add(std::move(end));
  return {first_added, last};
}

}  // namespace calque
