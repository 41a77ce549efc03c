// The tree of recorded ops.
#include "compiler/trace.h"

#include <algorithm>
#include <iterator>

#include "compiler/segment.h"

namespace calque {

TraceId TraceTree::root(uint64_t modes) {
  for (const auto& [known, id] : roots_)
    if (known == modes) return id;
  if (roots_.size() == kMostRoots) return 0;
  const TraceId id = roots_.empty() ? 0 : static_cast<TraceId>(nodes_.size());
  if (id != 0) nodes_.emplace_back();
  roots_.emplace_back(modes, id);
  return id;
}

TraceId TraceTree::add(TraceId parent, TraceNode node) {
  const TraceId id = static_cast<TraceId>(nodes_.size());
  node.parent = parent;
  TraceId* link = &nodes_[parent].first_child;
  if (*link != kNoTrace) ++branches_;
  while (*link != kNoTrace) link = &nodes_[*link].next_sibling;
  *link = id;
  nodes_.push_back(std::move(node));
  ++revision_;
  return id;
}

std::vector<TraceId> TraceTree::path(TraceId begin, TraceId end) const {
  std::vector<TraceId> ids;
  for (TraceId id = end; id != begin; id = nodes_[id].parent) ids.push_back(id);
  std::reverse(ids.begin(), ids.end());
  return ids;
}

TraceId TraceTree::segment_before(TraceId id) const {
  do id = nodes_[id].parent;
  while (nodes_[id].kind != TraceNode::Kind::root && nodes_[id].kind != TraceNode::Kind::end);
  return id;
}

std::vector<TraceNode> TraceTree::drop_way(TraceId first) {
  ++revision_;
  for (TraceId id = first; id < nodes_.size(); ++id) branches_ -= nodes_[nodes_[id].parent].first_child != id;
  TraceId* link = &nodes_[nodes_[first].parent].first_child;
  while (*link != first) link = &nodes_[*link].next_sibling;
  *link = kNoTrace;
  std::vector<TraceNode> dropped(std::make_move_iterator(nodes_.begin() + first), std::make_move_iterator(nodes_.end()));
  nodes_.erase(nodes_.begin() + first, nodes_.end());
  std::erase_if(loops_, [&](const TraceLoop& loop) { return loop.head >= first; });  // the newest ones
  return dropped;
}

void TraceTree::remove(TraceId first, std::vector<std::shared_ptr<Segment>>& segments) {
  ++revision_;
  TraceId* link = &nodes_[nodes_[first].parent].first_child;
  // Its siblings lose one before them, be it the first of them.
  if (*link != first || nodes_[first].next_sibling != kNoTrace) --branches_;
  while (*link != first) link = &nodes_[*link].next_sibling;
  *link = nodes_[first].next_sibling;
  std::vector<TraceId> left{first};
  while (!left.empty()) {
    TraceNode& node = nodes_[left.back()];
    left.pop_back();
    for (TraceId id = node.first_child; id != kNoTrace; id = nodes_[id].next_sibling) {
      branches_ -= id != node.first_child;
      left.push_back(id);
    }
    if (node.segment) segments.push_back(std::move(node.segment));
    node = {};
    ++removed_;
  }
}

uint32_t TraceTree::add_loop(TraceLoop loop, int64_t trips) {
  const auto index = static_cast<uint32_t>(loops_.size());
  loop.trips = add_size(trips);
  for (TraceId id = loop.head; id < loop.head + loop.length; ++id) nodes_[id].loop = index;
  nodes_[loop.head + loop.length - 1].next_iteration = loop.head;
  loops_.push_back(loop);
  return index;
}

bool TraceTree::is_apart_behind(TraceId begin, Op op, const void* location) const {
  if (!is_apart(op, location)) return false;
  while (begin != kNoTrace && !nodes_[begin].is_junction && !nodes_[begin].cut_location) begin = nodes_[begin].parent;
  return begin != kNoTrace;
}

TraceTree TraceTree::with_sizes_only() const {
  TraceTree tree;
  tree.sizes_ = sizes_;
  tree.generation_ = generation_;
  tree.samples_ = samples_;
  return tree;
}

std::shared_ptr<const TraceTree> TraceTree::snapshot() const {
  auto copy = std::make_shared<TraceTree>(*this);
  for (TraceNode& node : copy->nodes_) node.segment = nullptr;
  return copy;
}

SizeSymbol TraceTree::add_size(int64_t value) {
  ++revision_;
  sizes_.push_back(value);
  for (std::vector<int64_t>& sample : samples_) sample.resize(sizes_.size(), value);
  return static_cast<SizeSymbol>(sizes_.size() - 1);
}

uint32_t TraceTree::take_sample() {
  if (samples_.back() != sizes_) samples_.push_back(sizes_);
  return static_cast<uint32_t>(samples_.size() - 1);
}

namespace {

void add_bound(const NodeSizes& sizes, std::vector<SizeSymbol>& symbols) {
  for (const SizedSlot& slot : sizes.slots)
    std::copy_if(slot.dims.begin(), slot.dims.end(), std::back_inserter(symbols), [](SizeSymbol s) { return s != kNoSize; });
}

void add_followed(const SizeExpression& expression, std::vector<SizeSymbol>& symbols) {
  for (const SizeTerm& term : expression.terms) {
    symbols.push_back(term.a);
    if (term.b != kNoSize) symbols.push_back(term.b);
  }
}

void add_followed(const NodeSizes& sizes, std::vector<SizeSymbol>& symbols) {
  for (const SizedWord& word : sizes.words) add_followed(word.expression, symbols);
  for (const SizedSlot& slot : sizes.slots)
    for (const auto& [axis, stride] : slot.strides) add_followed(stride, symbols);
}

}  // namespace

BoundSizes TraceTree::bound_sizes(TraceId end) const {
  BoundSizes bound;
  if (!has_sizes()) return bound;
  std::vector<SizeSymbol> symbols;
  for (TraceId id = end; id != nodes_[end].segment_begin; id = nodes_[id].parent) {
    if (const TraceLoop* loop = loop_at(id)) symbols.push_back(loop->trips);
    if (!nodes_[id].sizes) continue;
    add_bound(*nodes_[id].sizes, symbols);
    add_followed(*nodes_[id].sizes, symbols);
  }
  std::sort(symbols.begin(), symbols.end());
  symbols.erase(std::unique(symbols.begin(), symbols.end()), symbols.end());
  for (SizeSymbol symbol : symbols) bound.emplace_back(symbol, sizes_[symbol]);
  return bound;
}

std::vector<SizeSymbol> TraceTree::symbols_on_way(TraceId id) const {
  std::vector<SizeSymbol> symbols;
  for (; id != kNoTrace; id = nodes_[id].parent) {
    if (const TraceLoop* loop = loop_at(id)) symbols.push_back(loop->trips);
    if (nodes_[id].sizes) add_bound(*nodes_[id].sizes, symbols);
  }
  std::sort(symbols.begin(), symbols.end());
  return symbols;
}

}  // namespace calque
