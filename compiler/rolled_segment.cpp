// Writes a way down with few iterations of its loops, and with the values that the call holds.
#include "compiler/rolled_segment.h"

#include <algorithm>
#include <map>
#include <set>

#include "compiler/extrapolate.h"
#include "compiler/neighbours.h"
#include "compiler/step_sequences.h"
#include "compiler/way_position.h"
#include "ir/op/error.h"
#include "passes/loops/roll.h"

namespace calque {

namespace {

/// The numbers of all values and slots of a segment, and what is the same one where loops run less often.
class WayNumbers {
 public:
  WayNumbers(const TraceTree& tree, TraceId begin, TraceId end) : slot_steps_(slot_sequences(tree, begin, end)) {
    WayPosition position;
    for (TraceId id : tree.path(begin, end)) {
      const TraceNode& node = tree[id];
      if (tree.loop_at(id)) position.enter(node.level);
      const TraceLoop* loop = node.loop == kNoLoop ? nullptr : &tree.loop(node.loop);
      const WayPosition::Level& at = position.levels[node.level];
      const int64_t trips = loop ? tree.sizes()[loop->trips] : 0;
      const bool is_op = node.kind == TraceNode::Kind::op;
      made_[kValues].push_back({node.first_value + at.values, is_op ? std::ssize(node.results) : 0, loop ? loop->values : 0, trips});
      made_[kSlots].push_back({node.first_slot + at.slots, std::ssize(node.new_slots), loop ? loop->slots : 0, trips});
      if (is_op) note_reads(node, position, trips);
      if (loop && node.next_iteration != kNoTrace) position.go_on(*loop, trips);
    }
  }

  /// Whether every op, in the first and the last iteration of its loop, reads what it reads in the longer call. Where a value of
  /// the twentieth iteration is read behind a loop, say, it does not if the loop runs ten times.
  bool reads_like(const WayNumbers& longer) const {
    for (size_t i = 0; i < reads_.size(); ++i)
      if (number_of(longer, longer.reads_[i]) != reads_[i].number) return false;
    return true;
  }

  const std::vector<Steps>& slot_steps() const { return slot_steps_; }

  /// What is held: values by themselves, and of some ops' results those of all iterations but a few at the ends.
  struct Held {
    std::vector<uint32_t> single;
    std::vector<Steps> steps;
  };
  Held held(std::span<const uint32_t> numbers) const {
    std::map<std::pair<size_t, int64_t>, Steps> of_results;
    for (const uint32_t number : numbers) {
      const MadeBy made = made_by(number, kValues);
      of_results[{made.node, made.result}].push_back(number);
    }
    Held held;
    for (auto& [by, all] : of_results) {
      if (are_all_but_few(made_[kValues][by.first], all)) held.steps.push_back(std::move(all));
      else held.single.insert(held.single.end(), all.begin(), all.end());
    }
    return held;
  }
  /// The same where the loops run less often.
  Held held_like(const WayNumbers& longer, const Held& there) const {
    const auto here = [&](uint32_t number) { return static_cast<uint32_t>(number_of(longer, {number, kValues})); };
    Held held;
    for (const uint32_t number : there.single) held.single.push_back(here(number));
    for (const Steps& steps : there.steps) {
      const uint32_t stride = steps[1] - steps[0], last = here(steps.back());
      for (uint32_t number = (held.steps.emplace_back(), here(steps[0])); number <= last; number += stride)
        held.steps.back().push_back(number);
    }
    return held;
  }

 private:
  static constexpr int64_t kNear = kFewTrips / 2;
  static constexpr size_t kFewestSteps = 3;
  enum Kind : uint8_t { kValues, kSlots };

  /// What a node makes or binds in all iterations.
  struct Made {
    int64_t first, count;
    int64_t per_iteration, trips;  // of a node of a loop
  };
  struct MadeBy {
    size_t node;
    int64_t iteration, result;
  };
  struct Read {
    int64_t number;
    Kind kind;
  };

  bool are_all_but_few(const Made& made, const Steps& numbers) const {
    if (numbers.size() < kFewestSteps) return false;
    const int64_t first = made_by(numbers[0], kValues).iteration, last = made_by(numbers.back(), kValues).iteration;
    return first < kNear && made.trips - last < kNear && last - first + 1 == std::ssize(numbers);
  }

  void note_reads(const TraceNode& node, const WayPosition& position, int64_t trips) {
    for (const TraceOperand& operand : node.inputs) {
      const bool is_run = operand.run != 0;
      const int64_t more = is_run ? position.levels[operand.run].iteration + operand.more - 1 : trips;
      demand(more >= 0);
      const Kind kind = operand.is_slot ? kSlots : kValues;
      const int64_t first = position.number(operand, is_run ? 0 : node.level);
      reads_.push_back({first, kind});
      reads_.push_back({first + more * operand.stride, kind});
    }
  }

  MadeBy made_by(int64_t number, Kind kind) const {
    for (size_t i = 0; i < made_[kind].size(); ++i) {
      const Made& node = made_[kind][i];
      const int64_t behind = number - node.first;
      const int64_t iteration = node.per_iteration == 0 ? 0 : behind / node.per_iteration;
      const int64_t result = behind - iteration * node.per_iteration;
      if (behind >= 0 && iteration <= node.trips && result < node.count) return {i, iteration, result};
    }
    throw Uneven{};
  }

  /// The number here of what is read in the longer call: as many iterations from the nearer end of its loop.
  int64_t number_of(const WayNumbers& longer, const Read& read) const {
    const auto [i, iteration, result] = longer.made_by(read.number, read.kind);
    const Made &node = longer.made_[read.kind][i], &mine = made_[read.kind][i];
    const bool is_near_start = iteration < kNear || mine.trips == node.trips;
    demand(is_near_start || node.trips - iteration < kNear);
    const int64_t there = is_near_start ? iteration : mine.trips - (node.trips - iteration);
    return mine.first + there * node.per_iteration + result;
  }

  std::vector<Made> made_[2];     // in the order of the way
  std::vector<Read> reads_;       // of every op, in the first and the last iteration
  std::vector<Steps> slot_steps_;
};

// --- the way with fewer iterations

struct Way {
  const TraceTree& tree;
  TraceId begin, end;
  const std::string& name;
};

SegmentGraph rolled_with(const BoundSizes& trips, const Way& way, const WayNumbers& numbers, const WayNumbers::Held& held) {
  TraceTree shorter = way.tree;
  for (const auto& [symbol, count] : trips) shorter.set_size(symbol, count);
  const WayNumbers numbers_there(shorter, way.begin, way.end);
  demand(numbers_there.reads_like(numbers));
  const WayNumbers::Held held_there = numbers_there.held_like(numbers, held);
  std::vector<uint32_t> all = held_there.single;
  for (const Steps& steps : held_there.steps) all.insert(all.end(), steps.begin(), steps.end());
  std::ranges::sort(all);
  const SegmentGraph single = make_segment_graph(shorter, way.begin, way.end, all, way.name);
  SegmentGraph segment = with_sequences(single, numbers_there.slot_steps(), held_there.steps);
  segment.graph = passes::roll(segment.graph);
  return segment;
}

/// The graph has one input or output for all these steps; now they are those of the true call.
void set_steps(SegmentGraph& segment, const WayNumbers& numbers, const WayNumbers::Held& held) {
  std::set<uint32_t> are_steps;
  for (const Steps& steps : numbers.slot_steps()) are_steps.insert(steps.begin(), steps.end());
  uint32_t next = 0;
  auto sequence = numbers.slot_steps().begin();
  for (SlotSource& source : segment.sources) {
    while (are_steps.contains(next)) ++next;
    source = source.steps.empty() ? SlotSource{next++} : SlotSource{sequence->front(), *sequence};
    sequence += !source.steps.empty();
  }
  auto steps = held.steps.begin();
  for (HeldValue& value : segment.held)
    if (!value.steps.empty()) value.steps = *steps++;
}

std::optional<SegmentGraph> reached_from(const Neighbours& neighbours, const Way& way, std::span<const uint32_t> held) try {
  const WayNumbers numbers(way.tree, way.begin, way.end);
  const WayNumbers::Held sorted = numbers.held(held);
  std::vector<SegmentGraph> segments;
  for (const BoundSizes& trips : neighbours.calls) segments.push_back(rolled_with(trips, way, numbers, sorted));
  SegmentGraph reached = extrapolate(segments, neighbours.steps);
  set_steps(reached, numbers, sorted);
  return reached;
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
      if (std::optional<SegmentGraph> graph = reached_from(*neighbours, {tree, begin, end, name}, held)) return graph;
  return std::nullopt;
}

}  // namespace calque
