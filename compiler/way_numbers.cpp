// Follows a way node by node, and finds what made a value or bound a slot by its number.
#include "compiler/way_numbers.h"

#include <algorithm>
#include <map>

#include "compiler/extrapolate.h"
#include "compiler/neighbours.h"
#include "compiler/way_position.h"

namespace calque {

namespace {

constexpr int64_t kNear = kFewTrips / 2;
constexpr size_t kFewestNumbers = 3;

}  // namespace

WayNumbers::WayNumbers(const TraceTree& tree, TraceId begin, TraceId end) : slot_steps_(slot_sequences(tree, begin, end)) {
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
  for (Read& read : reads_) read.by = made_by(read.number, read.kind);
}

bool WayNumbers::reads_like(const WayNumbers& longer) const {
  for (size_t i = 0; i < reads_.size(); ++i)
    if (number_of(longer, longer.reads_[i].by, reads_[i].kind) != reads_[i].number) return false;
  return true;
}

std::vector<uint32_t> WayNumbers::Held::all() const {
  std::vector<uint32_t> all = single;
  for (const Steps& each : steps) all.insert(all.end(), each.begin(), each.end());
  std::ranges::sort(all);
  return all;
}

WayNumbers::Held WayNumbers::held(std::span<const uint32_t> numbers) const {
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

WayNumbers::Held WayNumbers::held_like(const WayNumbers& longer, const Held& there) const {
  Held held;
  for (const uint32_t number : there.single) held.single.push_back(value_like(longer, number));
  for (const Steps& steps : there.steps) {
    const uint32_t stride = steps[1] - steps[0], last = value_like(longer, steps.back());
    for (uint32_t number = (held.steps.emplace_back(), value_like(longer, steps[0])); number <= last; number += stride)
      held.steps.back().push_back(number);
  }
  return held;
}

bool WayNumbers::are_all_but_few(const Made& made, const Steps& numbers) const {
  if (numbers.size() < kFewestNumbers) return false;
  const int64_t first = made_by(numbers[0], kValues).iteration, last = made_by(numbers.back(), kValues).iteration;
  return first < kNear && made.trips - last < kNear && last - first + 1 == std::ssize(numbers);
}

void WayNumbers::note_reads(const TraceNode& node, const WayPosition& position, int64_t trips) {
  for (const TraceOperand& operand : node.inputs) {
    const bool is_run = operand.run != 0;
    const int64_t more = is_run ? position.levels[operand.run].iteration + operand.more - 1 : trips;
    demand(more >= 0);
    const Kind kind = operand.is_slot ? kSlots : kValues;
    const int64_t first = position.number(operand, is_run ? 0 : node.level);
    reads_.push_back({first, kind, {}});
    reads_.push_back({first + more * operand.stride, kind, {}});
  }
}

WayNumbers::MadeBy WayNumbers::made_by(int64_t number, Kind kind) const {
  for (size_t i = 0; i < made_[kind].size(); ++i) {
    const Made& node = made_[kind][i];
    const int64_t behind = number - node.first;
    const int64_t iteration = node.per_iteration == 0 ? 0 : behind / node.per_iteration;
    const int64_t result = behind - iteration * node.per_iteration;
    if (behind >= 0 && iteration <= node.trips && result < node.count) return {i, iteration, result};
  }
  throw Uneven{};
}

/// The number here of what the longer call makes there: as many iterations from the nearer end of its loop.
int64_t WayNumbers::number_of(const WayNumbers& longer, const MadeBy& by, Kind kind) const {
  const Made &theirs = longer.made_[kind][by.node], &mine = made_[kind][by.node];
  const bool is_near_start = by.iteration < kNear || mine.trips == theirs.trips;
  demand(is_near_start || theirs.trips - by.iteration < kNear);
  const int64_t iteration = is_near_start ? by.iteration : mine.trips - (theirs.trips - by.iteration);
  return mine.first + iteration * mine.per_iteration + by.result;
}

uint32_t WayNumbers::value_like(const WayNumbers& longer, uint32_t number) const {
  return static_cast<uint32_t>(number_of(longer, longer.made_by(number, kValues), kValues));
}

}  // namespace calque
