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

/// The numbers of all values of a segment, and what is the same value where loops run less often.
class WayNumbers {
 public:
  WayNumbers(const TraceTree& tree, TraceId begin, TraceId end) {
    WayPosition position;
    for (TraceId id : tree.path(begin, end)) {
      const TraceNode& node = tree[id];
      if (tree.loop_at(id)) position.enter(node.level);
      const TraceLoop* loop = node.loop == kNoLoop ? nullptr : &tree.loop(node.loop);
      if (node.kind == TraceNode::Kind::op) {
        OfNode made{node.first_value + position.levels[node.level].values, static_cast<int64_t>(node.results.size()),
                    loop ? loop->values : 0, loop ? tree.sizes()[loop->trips] : 0, {}};
        demand(!loop || loop->slots == 0);  // inputs of which there are as many as iterations
        note_reads(made, node, position);
        nodes_.push_back(std::move(made));
      }
      if (loop && node.next_iteration != kNoTrace) position.go_on(*loop, tree.sizes()[loop->trips]);
    }
  }

  /// Whether every op, in the first and the last iteration of its loop, reads what it reads in the longer call. Where a value of
  /// the twentieth iteration is read behind a loop, say, it does not if the loop runs ten times.
  bool reads_like(const WayNumbers& longer) const {
    for (size_t i = 0; i < nodes_.size(); ++i)
      for (size_t read = 0; read < nodes_[i].reads.size(); ++read)
        if (number_of(longer, longer.nodes_[i].reads[read]) != nodes_[i].reads[read]) return false;
    return true;
  }
  uint32_t held_number_of(const WayNumbers& longer, uint32_t number) const {
    return static_cast<uint32_t>(number_of(longer, number));
  }

 private:
  /// What an op gives in all iterations, and reads in the first and the last.
  struct OfNode {
    int64_t first, results;
    int64_t per_iteration, trips;  // of a node of a loop
    std::vector<int64_t> reads;
  };

  static void note_reads(OfNode& made, const TraceNode& node, const WayPosition& position) {
    for (const TraceOperand& operand : node.inputs) {
      if (operand.is_slot) continue;
      const bool is_run = operand.run != 0;
      const int64_t more = is_run ? position.levels[operand.run].iteration + operand.more - 1 : made.trips;
      demand(more >= 0);
      made.reads.push_back(position.number(operand, is_run ? 0 : node.level));
      made.reads.push_back(made.reads.back() + more * operand.stride);
    }
  }

  /// The number here of what is `number` in the longer call: as many iterations from the nearer end of its loop.
  int64_t number_of(const WayNumbers& longer, int64_t number) const {
    constexpr int64_t kNear = kFewTrips / 2;
    for (size_t i = 0; i < nodes_.size(); ++i) {
      const OfNode& node = longer.nodes_[i];
      const int64_t behind = number - node.first;
      const int64_t iteration = node.per_iteration == 0 ? 0 : behind / node.per_iteration;
      const int64_t result = behind - iteration * node.per_iteration;
      if (behind < 0 || iteration > node.trips || result >= node.results) continue;
      const bool is_near_start = iteration < kNear || nodes_[i].trips == node.trips;
      demand(is_near_start || node.trips - iteration < kNear);
      const int64_t there = is_near_start ? iteration : nodes_[i].trips - (node.trips - iteration);
      return nodes_[i].first + there * node.per_iteration + result;
    }
    throw Uneven{};
  }

  std::vector<OfNode> nodes_;  // in the order of the way
};

// --- the way with fewer iterations

struct Way {
  const TraceTree& tree;
  TraceId begin, end;
  std::span<const uint32_t> held;
  const std::string& name;
};

SegmentGraph rolled_with(const BoundSizes& trips, const Way& way, const WayNumbers& numbers) {
  TraceTree shorter = way.tree;
  for (const auto& [symbol, count] : trips) shorter.set_size(symbol, count);
  const WayNumbers numbers_there(shorter, way.begin, way.end);
  demand(numbers_there.reads_like(numbers));
  std::vector<uint32_t> held;
  for (uint32_t number : way.held) held.push_back(numbers_there.held_number_of(numbers, number));
  demand(std::ranges::is_sorted(held));
  SegmentGraph segment = make_segment_graph(shorter, way.begin, way.end, held, way.name);
  segment.graph = passes::roll(segment.graph);
  return segment;
}

std::optional<SegmentGraph> reached_from(const Neighbours& neighbours, const Way& way) try {
  const WayNumbers numbers(way.tree, way.begin, way.end);
  std::vector<SegmentGraph> segments;
  for (const BoundSizes& trips : neighbours.calls) segments.push_back(rolled_with(trips, way, numbers));
  return extrapolate(segments, neighbours.steps);
} catch (const Uneven&) {
  return std::nullopt;
} catch (const UserError&) {  // shapes that do not fit: something depends on how often a loop runs
  return std::nullopt;
}

}  // namespace

std::optional<SegmentGraph> make_rolled_graph(const TraceTree& tree, TraceId begin, TraceId end,
                                              std::span<const uint32_t> held, const std::string& name) {
  BoundSizes trips;
  for (const TraceLoop& loop : loops_on_way(tree, begin, end)) trips.emplace_back(loop.trips, tree.sizes()[loop.trips]);
  // Where a step reads what was made two steps before, two steps are one iteration.
  for (const int64_t stride : {1, 2})
    if (const std::optional<Neighbours> neighbours = neighbours_of(trips, stride))
      if (std::optional<SegmentGraph> graph = reached_from(*neighbours, {tree, begin, end, held, name})) return graph;
  return std::nullopt;
}

}  // namespace calque
