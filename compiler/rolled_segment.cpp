// Writes a way down with few iterations of its loops, and with the values that the call holds.
#include "compiler/rolled_segment.h"

#include <algorithm>
#include <set>
#include <utility>

#include "compiler/extrapolate.h"
#include "compiler/neighbours.h"
#include "compiler/resize.h"
#include "compiler/way_position.h"
#include "ir/op/error.h"
#include "passes/loops/roll.h"

namespace calque {

namespace {

struct Way {
  const TraceTree& tree;
  TraceId begin, end;
  std::span<const uint32_t> held;
  const std::string& name;
};

/// First how often the loops run.
BoundSizes sizes_of(const Way& way, size_t& loops) {
  BoundSizes sizes;
  for (const TraceLoop& loop : loops_on_way(way.tree, way.begin, way.end))
    sizes.emplace_back(loop.trips, way.tree.sizes()[loop.trips]);
  loops = sizes.size();
  for (const auto& size : way.tree.bound_sizes(way.end))
    if (std::ranges::find(sizes, size) == sizes.end()) sizes.push_back(size);
  return sizes;
}

// --- the way with fewer iterations

/// What all neighbours are compared with: the numbers of the true call.
struct TrueNumbers {
  explicit TrueNumbers(const Way& way) : of_way(way.tree, way.begin, way.end), held(of_way.held(way.held)) {}
  WayNumbers of_way;
  WayNumbers::Held held;
};

/// The way with these sizes. `pads`: all that the sizes are not about is as it was recorded.
RolledNeighbours::Call rolled_call(const BoundSizes& sizes, const Way& way, const TrueNumbers& numbers, bool pads) {
  TraceTree shorter = way.tree;
  for (const auto& [symbol, value] : sizes) shorter.set_size(symbol, value);
  RolledNeighbours::Call call{.numbers = {shorter, way.begin, way.end}, .held = {}, .segment = SegmentGraph()};
  demand(call.numbers.reads_like(numbers.of_way));
  call.held = call.numbers.held_like(numbers.of_way, numbers.held);
  const auto write = [&](const TraceTree& tree, TraceId begin, TraceId end) {
    return with_sequences(make_segment_graph(tree, begin, end, call.held.all(), way.name), call.numbers.slot_steps(), call.held.steps);
  };
  if (pads) {
    call.segment = write(shorter, way.begin, way.end);
  } else {
    const ResizedWay resized = resized_way(shorter, way.end);
    call.segment = write(resized.tree, resized.begin, resized.end);
  }
  call.segment.graph = passes::roll(call.segment.graph);
  return call;
}

bool is_kept(const RolledNeighbours& kept, const Neighbours& neighbours, const Way& way, const TrueNumbers& numbers) {
  if (kept.revision != way.tree.revision() || kept.sizes != neighbours.calls) return false;
  return std::ranges::all_of(kept.calls, [&](const RolledNeighbours::Call& call) {
    return call.numbers.reads_like(numbers.of_way) && call.numbers.held_like(numbers.of_way, numbers.held) == call.held;
  });
}

RolledNeighbours rolled_neighbours(const Neighbours& neighbours, const Way& way, const TrueNumbers& numbers, bool pads) {
  RolledNeighbours made{.revision = way.tree.revision(), .sizes = neighbours.calls, .calls = {}};
  for (const BoundSizes& sizes : neighbours.calls) made.calls.push_back(rolled_call(sizes, way, numbers, pads));
  return made;
}

RolledNeighbours& kept_or_made(const Neighbours& neighbours, const Way& way, const TrueNumbers& numbers, bool pads,
                                     std::vector<RolledNeighbours>& kept) {
  constexpr size_t kMostKept = 24;
  const auto known = std::ranges::find_if(kept, [&](const RolledNeighbours& each) { return is_kept(each, neighbours, way, numbers); });
  if (known != kept.end()) return *known;
  RolledNeighbours made = rolled_neighbours(neighbours, way, numbers, pads);
  std::erase_if(kept, [&](const RolledNeighbours& each) { return each.revision != made.revision; });
  if (kept.size() == kMostKept) kept.erase(kept.begin());
  return kept.emplace_back(std::move(made));
}

/// The graph has one input or output for all these steps; now they are those of the true call.
void set_steps(SegmentGraph& segment, const TrueNumbers& numbers) {
  std::set<uint32_t> are_steps;
  for (const Steps& steps : numbers.of_way.slot_steps()) are_steps.insert(steps.begin(), steps.end());
  uint32_t next = 0;
  auto sequence = numbers.of_way.slot_steps().begin();
  for (SlotSource& source : segment.sources) {
    while (are_steps.contains(next)) ++next;
    source = source.steps.empty() ? SlotSource{next++} : SlotSource{sequence->front(), *sequence};
    sequence += !source.steps.empty();
  }
  auto steps = numbers.held.steps.begin();
  for (HeldValue& value : segment.held)
    if (!value.steps.empty()) value.steps = *steps++;
}

std::optional<SegmentGraph> reached_from(const Neighbours& neighbours, const Way& way, bool pads,
                                         std::vector<RolledNeighbours>& kept) try {
  const TrueNumbers numbers(way);
  RolledNeighbours& rolled = kept_or_made(neighbours, way, numbers, pads, kept);
  demand(!std::exchange(rolled.is_uneven, true));  // until it is known not to be
  std::vector<const SegmentGraph*> segments;
  for (const RolledNeighbours::Call& call : rolled.calls) segments.push_back(&call.segment);
  SegmentGraph reached = extrapolate(segments, neighbours.steps);
  rolled.is_uneven = false;
  set_steps(reached, numbers);
  return reached;
} catch (const Uneven&) {
  return std::nullopt;
} catch (const UserError&) {  // shapes that do not fit: something depends on how often a loop runs
  return std::nullopt;
}

}  // namespace

std::optional<SegmentGraph> make_rolled_graph(const TraceTree& tree, TraceId begin, TraceId end, std::span<const uint32_t> held,
                                              const std::string& name, std::vector<RolledNeighbours>& kept) {
  const Way way{tree, begin, end, held, name};
  size_t loops = 0;
  const BoundSizes sizes = sizes_of(way, loops);
  const BoundSizes trips(sizes.begin(), sizes.begin() + static_cast<std::ptrdiff_t>(loops));
  // Where a step reads what was made two steps before, two steps are one iteration.
  for (const int64_t stride : {1, 2}) {
    const std::optional<Neighbours> any = neighbours_of(sizes, loops, stride, 1);
    if (!any) continue;
    if (std::optional<SegmentGraph> graph = reached_from(*any, way, false, kept)) return graph;
    const std::optional<Neighbours> shorter = neighbours_of(sizes, loops, stride, kStepsBeyondWitness);
    if (!shorter) continue;
    if (shorter->calls != any->calls)
      if (std::optional<SegmentGraph> graph = reached_from(*shorter, way, false, kept)) return graph;
    std::vector<RolledNeighbours> of_this_length;
    const Neighbours of_loops = *neighbours_of(trips, loops, stride, kStepsBeyondWitness);
    if (std::optional<SegmentGraph> graph = reached_from(of_loops, way, true, of_this_length)) return graph;
  }
  return std::nullopt;
}

}  // namespace calque
