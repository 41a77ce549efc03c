// Writes a way down with few iterations of its loops, and with the values that the call holds.
#include "compiler/rolled_segment.h"

#include <algorithm>

#include "compiler/extrapolate.h"
#include "compiler/neighbours.h"
#include "compiler/way_position.h"
#include "ir/op/error.h"
#include "passes/loops/roll.h"

namespace calque {

namespace {

/// An iteration counts as one of the first, or of the last, that are in each neighbour.
constexpr int64_t kNearEnd = kFewTrips / 2;

std::vector<TraceId> way_to(const TraceTree& tree, TraceId end) {
  TraceId root = end;
  while (tree[root].parent != kNoTrace) root = tree[root].parent;
  return tree.path(root, end);
}

// --- what is read

/// Operands are counted from the first iteration of a loop, or from its last ones. One that is counted from the first and lies in a
/// later iteration means nothing where the loop runs a few times only.
class ReadsCheck {
 public:
  ReadsCheck(const TraceTree& tree, TraceId end) : tree_(tree), loops_(loops_on_way(tree, end)) {
    for (TraceId id : way_to(tree, end))
      for (const TraceOperand& operand : tree[id].inputs) demand(operand.is_slot || is_near_end(operand, tree[id].level));
  }

 private:
  /// `level`: of the node that reads it.
  bool is_near_end(const TraceOperand& operand, int level) const {
    if (operand.run != 0 && operand.more < -kNearEnd) return false;
    if (operand.level >= level) return true;
    const TraceLoop& loop = loops_[operand.level];  // the first one that it is not counted from the end of
    const uint32_t first = tree_[loop.head].first_value;
    return operand.index < first || loop.values == 0 || (operand.index - first) / loop.values < kNearEnd;
  }

  const TraceTree& tree_;
  const std::vector<TraceLoop> loops_;  // by level - 1
};

// --- values that are held, in a call with fewer iterations

/// The numbers that a node of the way gives to its results, of all iterations.
struct NumbersOfNode {
  int64_t first, results;
  int64_t per_iteration = 0, trips = 0;  // of a node of a loop
};

/// In the order of the way, counted from the segment's first value.
std::vector<NumbersOfNode> numbers_on_way(const TraceTree& tree, TraceId begin, TraceId end) {
  std::vector<NumbersOfNode> numbers;
  WayPosition position;
  bool is_inside = tree[begin].parent == kNoTrace;
  for (TraceId id : way_to(tree, end)) {
    const TraceNode& node = tree[id];
    const TraceLoop* loop = node.loop == kNoLoop ? nullptr : &tree.loop(node.loop);
    if (tree.loop_at(id)) position.enter(node.level);
    const int64_t trips = loop ? tree.sizes()[loop->trips] : 0;
    if (is_inside && node.kind == TraceNode::Kind::op)
      numbers.push_back({node.first_value + position.levels[node.level].values, static_cast<int64_t>(node.results.size()),
                         loop ? loop->values : 0, trips});
    if (loop && node.next_iteration != kNoTrace) position.go_on(*loop, trips);
    is_inside |= id == begin;
  }
  const int64_t first = numbers.empty() ? 0 : numbers[0].first;
  for (NumbersOfNode& node : numbers) node.first -= first;
  return numbers;
}

/// The number in a shorter call of what is `number` in the long one: as many iterations from the nearer end of its loop.
uint32_t number_in(std::span<const NumbersOfNode> shorter, std::span<const NumbersOfNode> longer, uint32_t number) {
  for (size_t i = 0; i < longer.size(); ++i) {
    const NumbersOfNode& node = longer[i];
    const int64_t behind = number - node.first;
    const int64_t iteration = node.per_iteration == 0 ? 0 : behind / node.per_iteration;
    const int64_t result = behind - iteration * node.per_iteration;
    if (behind < 0 || iteration > node.trips || result >= node.results) continue;
    const bool is_near_start = iteration < kNearEnd || shorter[i].trips == node.trips;
    demand(is_near_start || node.trips - iteration < kNearEnd);
    const int64_t there = is_near_start ? iteration : shorter[i].trips - (node.trips - iteration);
    return static_cast<uint32_t>(shorter[i].first + there * node.per_iteration + result);
  }
  throw Uneven{};
}

// --- the way with fewer iterations

struct Way {
  const TraceTree& tree;
  TraceId begin, end;
  std::span<const uint32_t> held;
  const std::string& name;
};

SegmentGraph rolled_with(const BoundSizes& trips, const Way& way) {
  TraceTree shorter = way.tree;
  for (const auto& [symbol, count] : trips) shorter.set_size(symbol, count);
  const std::vector<NumbersOfNode> numbers = numbers_on_way(way.tree, way.begin, way.end);
  const std::vector<NumbersOfNode> numbers_there = numbers_on_way(shorter, way.begin, way.end);
  std::vector<uint32_t> held;
  for (uint32_t number : way.held) held.push_back(number_in(numbers_there, numbers, number));
  demand(std::ranges::is_sorted(held));
  SegmentGraph segment = make_segment_graph(shorter, way.begin, way.end, held, way.name);
  segment.graph = passes::roll(segment.graph);
  return segment;
}

std::optional<SegmentGraph> reached_from(const Neighbours& neighbours, const Way& way) try {
  std::vector<SegmentGraph> segments;
  for (const BoundSizes& trips : neighbours.calls) segments.push_back(rolled_with(trips, way));
  return extrapolate(segments, neighbours.steps);
} catch (const Uneven&) {
  return std::nullopt;
} catch (const UserError&) {  // shapes that do not fit: something depends on how often a loop runs
  return std::nullopt;
}

}  // namespace

std::optional<SegmentGraph> make_rolled_graph(const TraceTree& tree, TraceId begin, TraceId end,
                                              std::span<const uint32_t> held, const std::string& name) try {
  BoundSizes trips;
  for (const TraceLoop& loop : loops_on_way(tree, end)) trips.emplace_back(loop.trips, tree.sizes()[loop.trips]);
  if (!neighbours_of(trips, 1)) return std::nullopt;
  const ReadsCheck check(tree, end);
  // Where a step reads what was made two steps before, two steps are one iteration.
  for (const int64_t stride : {1, 2})
    if (const std::optional<Neighbours> neighbours = neighbours_of(trips, stride))
      if (std::optional<SegmentGraph> graph = reached_from(*neighbours, {tree, begin, end, held, name})) return graph;
  return std::nullopt;
} catch (const Uneven&) {
  return std::nullopt;
}

}  // namespace calque
