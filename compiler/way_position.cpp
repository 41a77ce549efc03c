// Unrolls the loops of a recorded way.
#include "compiler/way_position.h"

namespace calque {

namespace {

void unroll_operand(const TraceOperand& operand, int level, const WayPosition& position, std::vector<TraceOperand>& operands) {
  const uint32_t number = position.number(operand, operand.run == 0 ? level : 0);
  const uint32_t first = operand.is_slot ? number : number - position.levels[0].values;
  const int64_t count = operand.run == 0 ? 1 : position.levels[operand.run].iteration + operand.more;
  for (int64_t i = 0; i < count; ++i)
    operands.push_back({first + static_cast<uint32_t>(i * operand.stride), operand.is_slot});
}

/// What sizes make of the attributes, in this iteration.
std::shared_ptr<const NodeSizes> sizes_at(const TraceNode& node, int64_t iteration) {
  if (!node.sizes || !node.steps || iteration == 0) return node.sizes;
  auto sizes = std::make_shared<NodeSizes>(*node.sizes);
  for (SizedWord& word : sizes->words) word.expression.offset += iteration * (*node.steps)[static_cast<size_t>(word.word)];
  return sizes;
}

}  // namespace

Attributes attributes_in(const TraceNode& node, Attributes attributes, int64_t iteration) {
  for (int i = 0; node.steps && i < attributes.size(); ++i)
    attributes.set(i, attributes[i] + iteration * (*node.steps)[static_cast<size_t>(i)]);
  return attributes;
}

std::vector<TraceLoop> loops_on_way(const TraceTree& tree, TraceId begin, TraceId end) {
  std::vector<TraceLoop> loops;
  for (TraceId id = end; id != begin; id = tree[id].parent)
    if (const TraceLoop* loop = tree.loop_at(id)) loops.push_back(*loop);
  std::reverse(loops.begin(), loops.end());
  return loops;
}

std::vector<PlacedNode> placed_nodes(const TraceTree& tree, TraceId begin, TraceId end) {
  std::vector<PlacedNode> placed;
  WayPosition position;
  size_t first_of_loop = 0;  // among `placed`
  for (TraceId id : tree.path(begin, end)) {
    const TraceNode& node = tree[id];
    if (const TraceLoop* loop = tree.loop_at(id)) {
      position.enter(loop->level);
      const WayPosition::Level& at = position.levels[loop->level];
      const int64_t trips = tree.sizes()[loop->trips];
      first_of_loop = placed.size();
      for (TraceId inner = id; inner < id + loop->length; ++inner)
        placed.push_back({inner, tree[inner].first_value + at.values, tree[inner].first_slot + at.slots, loop->values, loop->slots, trips});
      position.go_on(*loop, trips);
    }
    const WayPosition::Level& at = position.levels[node.level];
    if (node.loop != kNoLoop) ++placed[first_of_loop + (id - tree.loop(node.loop).head)].iterations;
    else placed.push_back({id, node.first_value + at.values, node.first_slot + at.slots, 0, 0, 1});
  }
  return placed;
}

TraceNode unrolled(const TraceNode& node, const WayPosition& position) {
  TraceNode straight = node;
  const WayPosition::Level& at = position.levels[node.level];
  if (node.kind != TraceNode::Kind::end) straight.first_value += at.values - position.levels[0].values, straight.first_slot += at.slots;
  straight.inputs.clear();
  for (const TraceOperand& operand : node.inputs) unroll_operand(operand, node.level, position, straight.inputs);
  straight.attributes = attributes_in(node, node.attributes, at.iteration);
  straight.sizes = sizes_at(node, at.iteration);
  straight.steps = nullptr;
  straight.level = 0;
  straight.has_runs = false;
  straight.loop = kNoLoop;
  straight.next_iteration = straight.parent = straight.first_child = straight.next_sibling = kNoTrace;
  return straight;
}

StraightWay::StraightWay(const TraceTree& tree, TraceId begin, TraceId end) : tree_(&tree), begin_(begin), end_(end) {
  bool has_loops = false;
  for (TraceId id = end; id != begin; id = tree[id].parent) has_loops |= tree[id].level > 0;
  if (!has_loops) return;
  straight_ = std::make_unique<TraceTree>(tree.with_sizes_only());
  tree_ = straight_.get();
  begin_ = end_ = 0;  // the last node written
  ends_.emplace_back(begin, 0);
  write(tree, tree.path(begin, end));
}

void StraightWay::write(const TraceTree& tree, std::span<const TraceId> ids) {
  WayPosition position;
  for (TraceId id : ids) {
    const TraceNode& node = tree[id];
    if (const TraceLoop* loop = tree.loop_at(id)) {
      position.enter(loop->level);
      for (int64_t i = tree.sizes()[loop->trips]; i > 0; --i, position.go_on(*loop))
        for (TraceId inner = loop->head; inner < loop->head + loop->length; ++inner) write_node(tree[inner], inner, position);
    }
    write_node(node, id, position);
    if (node.kind == TraceNode::Kind::end) position.begin_segment(0);
  }
}

void StraightWay::write_node(const TraceNode& node, TraceId id, const WayPosition& position) {
  TraceNode straight = unrolled(node, position);
  if (node.kind == TraceNode::Kind::end)
    for (const auto& [before, now] : ends_)
      if (before == node.segment_begin) straight.segment_begin = now;
  end_ = straight_->add(end_, std::move(straight));
  if (node.kind == TraceNode::Kind::end) ends_.emplace_back(id, end_);
}

}  // namespace calque
