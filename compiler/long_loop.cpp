// Looks for a period that all of the last nodes have, from time to time.
#include "compiler/long_loop.h"

#include <algorithm>

#include "compiler/find_iterations.h"

namespace calque {

namespace {

constexpr size_t kFewestKept = 5;  // iterations: three before those omitted, wherever the loop turns out to begin, and two after

}  // namespace

std::atomic<size_t> LongLoop::most_nodes{kMostNodesOfIteration};

TraceNode advanced(const TraceNode& node, const TraceNode& later, int64_t iterations) {
  TraceNode there = node;
  const auto times = static_cast<uint32_t>(iterations);
  there.first_value += times * (later.first_value - node.first_value);
  there.first_slot += times * (later.first_slot - node.first_slot);
  for (size_t i = 0; i < node.inputs.size(); ++i) there.inputs[i].index += times * (later.inputs[i].index - node.inputs[i].index);
  for (int word = 0; word < node.attributes.size(); ++word)
    there.attributes.set(word, node.attributes[word] + iterations * (later.attributes[word] - node.attributes[word]));
  return there;
}

void LongLoop::note_recorded(const TraceTree& tree, TraceId fork) {
  const auto last = static_cast<TraceId>(tree.size() - 1);
  const size_t most = most_nodes.load(std::memory_order_relaxed), often = most / 4 + 1;
  if (tree[last].kind != TraceNode::Kind::op) first_ = last + 1;
  first_ = std::max(first_, fork);
  const size_t count = last + 1 - first_;
  if (count < most) next_look_ = most;
  if (count < next_look_) return;
  next_look_ = count + often;
  for (size_t period = 1; period <= std::min(kMostNodesOfIteration, count / kFewestKept); ++period) {
    if (!repeats(tree, period)) continue;
    period_ = period;
    last_two_ = static_cast<TraceId>(tree.size() - 2 * period);
    return;
  }
}

/// Whether enough of the last nodes are what those one period before them were.
bool LongLoop::repeats(const TraceTree& tree, size_t period) const {
  const size_t end = tree.size(), needed = std::max(most_nodes.load(std::memory_order_relaxed), kFewestKept * period);
  if (end - first_ < needed) return false;
  for (size_t i = end - period; i-- > end - needed;) {
    const auto at = [&](size_t periods) -> const TraceNode& { return tree[static_cast<TraceId>(i + periods * period)]; };
    if (!is_repeated(at(0), at(1)) || (i + 2 * period < end && !goes_on(at(0), at(1), at(2), 1))) return false;
  }
  return true;
}

bool LongLoop::count(const TraceTree& tree, const TraceNode& node) {
  if (node.kind != TraceNode::Kind::op) return false;
  const auto here = static_cast<TraceId>(last_two_ + counted_ % period_);
  const TraceNode &before = tree[here], &last = tree[here + static_cast<TraceId>(period_)];
  if (!is_repeated(last, node) || !goes_on(before, last, node, static_cast<int64_t>(counted_ / period_) + 1)) return false;
  ++counted_;
  return true;
}

std::vector<TraceNode> LongLoop::stop(TraceTree& tree) {
  const auto iterations = static_cast<int64_t>(counted_ / period_);
  std::vector<TraceNode> unfinished;
  for (size_t i = 0; i < period_; ++i) {
    TraceNode &before = tree[static_cast<TraceId>(last_two_ + i)], &last = tree[static_cast<TraceId>(last_two_ + period_ + i)];
    TraceNode moved = advanced(before, last, iterations), moved_last = advanced(last, before, -iterations);
    if (i < counted_ % period_) {
      unfinished.push_back(advanced(last, before, -iterations - 1));
      unfinished.back().parent = unfinished.back().first_child = kNoTrace;
    }
    before = std::move(moved);
    last = std::move(moved_last);
  }
  if (iterations > 0) {
    tree[last_two_].omitted = {static_cast<uint32_t>(period_), iterations};
    has_omitted_ = true;
  }
  first_ = static_cast<TraceId>(tree.size() + unfinished.size());
  period_ = counted_ = 0;
  return unfinished;
}

}  // namespace calque
