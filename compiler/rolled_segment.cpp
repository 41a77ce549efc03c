// Walks three graphs side by side and builds the one that they lead to.
#include "compiler/rolled_segment.h"

#include <algorithm>
#include <array>
#include <limits>
#include <numeric>
#include <tuple>

#include "compiler/resize.h"
#include "compiler/way_position.h"
#include "ir/op/error.h"
#include "passes/loops/roll.h"

namespace calque {

namespace {

/// How often loops run at least in the shortest call: what a first or last iteration has of its own shows in each of them.
constexpr int64_t kFewTrips = 8;
/// So much shorter than what is wanted the three are, or they are not worth writing.
constexpr int64_t kLeastSteps = 12;

/// Something does not grow evenly.
struct Uneven {};

void demand(bool condition) {
  if (!condition) throw Uneven{};
}

// --- the line of calls

std::vector<SizeSymbol> trips_on_way(const TraceTree& tree, TraceId end) {
  std::vector<SizeSymbol> trips;
  for (const TraceLoop& loop : loops_on_way(tree, end)) trips.push_back(loop.trips);
  return trips;
}

/// The smallest step in whole sizes on the way from `other` to `here`, made to go up.
std::vector<int64_t> step_between(const BoundSizes& other, const BoundSizes& here) {
  demand(other.size() == here.size());
  std::vector<int64_t> step;
  int64_t divisor = 0;
  for (size_t i = 0; i < here.size(); ++i) {
    demand(other[i].first == here[i].first);
    step.push_back(here[i].second - other[i].second);
    divisor = std::gcd(divisor, step.back());
  }
  demand(divisor != 0);
  if (std::ranges::any_of(step, [](int64_t size) { return size < 0; })) divisor = -divisor;
  for (int64_t& size : step) size /= divisor;
  demand(std::ranges::none_of(step, [](int64_t size) { return size < 0; }));
  return step;
}

/// How many steps below `here` the shortest call lies.
int64_t steps_to_shortest(const BoundSizes& here, std::span<const int64_t> step, std::span<const SizeSymbol> trips) {
  int64_t steps = std::numeric_limits<int64_t>::max();
  bool shortens_a_loop = false;
  for (size_t i = 0; i < here.size(); ++i) {
    if (step[i] == 0) continue;
    const bool is_trips = std::ranges::find(trips, here[i].first) != trips.end();
    shortens_a_loop |= is_trips;
    steps = std::min(steps, (here[i].second - (is_trips ? kFewTrips : kLeastSize)) / step[i]);
  }
  demand(shortens_a_loop && steps >= kLeastSteps);
  return steps;
}

BoundSizes sizes_below(const BoundSizes& here, std::span<const int64_t> step, int64_t steps) {
  BoundSizes sizes = here;
  for (size_t i = 0; i < sizes.size(); ++i) sizes[i].second -= steps * step[i];
  return sizes;
}

// --- values that are held, in a call with fewer iterations

/// The numbers that a node of the way gives to its results, of all iterations.
struct NumbersOfNode {
  int64_t first, results;
  int64_t per_iteration = 0, trips = 0;  // of a node of a loop
};

int64_t value_of(SizeSymbol symbol, const BoundSizes& sizes) {
  return std::ranges::find(sizes, symbol, &BoundSizes::value_type::first)->second;
}

/// In the order of the way, counted from the segment's first value.
std::vector<NumbersOfNode> numbers_on_way(const TraceTree& tree, TraceId end, const BoundSizes& sizes) {
  TraceId root = end;
  while (tree[root].parent != kNoTrace) root = tree[root].parent;
  std::vector<NumbersOfNode> numbers;
  WayPosition position;
  bool is_inside = tree[end].segment_begin == root;
  for (TraceId id : tree.path(root, end)) {
    const TraceNode& node = tree[id];
    const TraceLoop* loop = node.loop == kNoLoop ? nullptr : &tree.loop(node.loop);
    if (tree.loop_at(id)) position.enter(node.level);
    const int64_t trips = loop ? value_of(loop->trips, sizes) : 0;
    if (is_inside && node.kind == TraceNode::Kind::op)
      numbers.push_back({node.first_value + position.levels[node.level].values, static_cast<int64_t>(node.results.size()),
                         loop ? loop->values : 0, trips});
    if (loop && node.next_iteration != kNoTrace) position.go_on(*loop, trips);
    is_inside |= id == tree[end].segment_begin;
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
    const bool is_near_start = iteration < kFewTrips / 2, is_near_end = node.trips - iteration < kFewTrips / 2;
    demand(is_near_start || is_near_end);
    const int64_t there = is_near_start ? iteration : shorter[i].trips - (node.trips - iteration);
    return static_cast<uint32_t>(shorter[i].first + there * node.per_iteration + result);
  }
  throw Uneven{};
}

// --- three graphs and the one that they lead to

template <class T>
using Three = std::array<const T*, 3>;

class Extrapolation {
 public:
  /// From the first of the three it is so many steps to what is wanted.
  explicit Extrapolation(int64_t steps) : steps_(steps) {}

  Graph graph(const Three<Graph>& of) const {
    const Graph& first = *of[0];
    demand_equal(of, [](const Graph& graph) { return graph.inputs().size(); });
    demand_equal(of, [](const Graph& graph) { return graph.nodes().size(); });
    demand_equal(of, [](const Graph& graph) { return std::vector(graph.outputs().begin(), graph.outputs().end()); });
    Graph made(first.name());
    for (size_t i = 0; i < first.inputs().size(); ++i) {
      const ValueId id = first.inputs()[i];
      demand_equal(of, [i](const Graph& graph) { return graph.inputs()[i]; });
      demand(made.add_input(type({&of[0]->type(id), &of[1]->type(id), &of[2]->type(id)}), first.input_name(i)) == id);
    }
    for (NodeId id = 0; id < first.nodes().size(); ++id) {
      const Three<Node> nodes{&of[0]->node(id), &of[1]->node(id), &of[2]->node(id)};
      add_node(made, nodes);
      for (ValueId value = first.node(id).first_result; value < first.node(id).first_result + first.node(id).result_count; ++value)
        demand(made.type(value) == type({&of[0]->type(value), &of[1]->type(value), &of[2]->type(value)}));
    }
    made.set_outputs({first.outputs().begin(), first.outputs().end()});
    return made;
  }

  std::vector<SlotRecord> slots(const Three<SegmentGraph>& of) const {
    demand_equal(of, [](const SegmentGraph& segment) { return segment.slots.size(); });
    std::vector<SlotRecord> made;
    for (size_t i = 0; i < of[0]->slots.size(); ++i) made.push_back(slot({&of[0]->slots[i], &of[1]->slots[i], &of[2]->slots[i]}));
    return made;
  }

  std::vector<HeldValue> held(const Three<SegmentGraph>& of) const {
    demand_equal(of, [](const SegmentGraph& segment) { return segment.held.size(); });
    std::vector<HeldValue> made;
    for (size_t i = 0; i < of[0]->held.size(); ++i) made.push_back(held({&of[0]->held[i], &of[1]->held[i], &of[2]->held[i]}));
    return made;
  }

 private:
  template <class T, class Member>
  static void demand_equal(const Three<T>& of, Member member) {
    demand(member(*of[0]) == member(*of[1]) && member(*of[0]) == member(*of[2]));
  }

  int64_t number(int64_t a, int64_t b, int64_t c) const {
    demand(b - a == c - b);
    return a + (b - a) * steps_;
  }

  Type type(const Three<Type>& of) const {
    demand_equal(of, [](const Type& type) { return type.dtype; });
    demand_equal(of, [](const Type& type) { return type.shape.rank(); });
    Type made = *of[0];
    for (int axis = 0; axis < made.shape.rank(); ++axis) {
      const int64_t least = of[0]->shape[axis];
      made.shape.set(axis, number(least, of[1]->shape[axis], of[2]->shape[axis]));
      // Sizes of 0 and 1 are no sizes like others.
      demand(made.shape[axis] == least || (least >= kLeastSize && made.shape[axis] > least));
    }
    return made;
  }

  Attributes attributes(Op op, bool has_block, const Three<Attributes>& of) const {
    demand_equal(of, [](const Attributes& attributes) { return attributes.size(); });
    Attributes made = *of[0];
    for (int i = 0; i < made.size(); ++i) {
      const int64_t a = (*of[0])[i], b = (*of[1])[i], c = (*of[2])[i];
      if (a == b && a == c) continue;
      const AttributeKind kind = has_block ? AttributeKind::integer : kind_of_word(op, i);
      demand(kind == AttributeKind::integer || kind == AttributeKind::integers);
      made.set(i, number(a, b, c));
    }
    return made;
  }

  void add_node(Graph& made, const Three<Node>& of) const {
    const Node& first = *of[0];
    demand_equal(of, [](const Node& node) { return std::tuple(node.op, node.location, node.body != nullptr); });
    demand_equal(of, [](const Node& node) { return node.inputs; });
    demand_equal(of, [](const Node& node) { return std::pair(node.first_result, node.result_count); });
    const Attributes words = attributes(first.op, first.body != nullptr,
                                        {&of[0]->attributes, &of[1]->attributes, &of[2]->attributes});
    const Node& added = first.body ? made.add_block(first.op, first.inputs, words,
                                                    std::make_shared<const Graph>(graph(
                                                        {of[0]->body.get(), of[1]->body.get(), of[2]->body.get()})),
                                                    first.location)
                                   : made.add(first.op, first.inputs, words, first.location);
    demand(added.first_result == first.first_result && added.result_count == first.result_count);
  }

  SlotRecord slot(const Three<SlotRecord>& of) const {
    demand_equal(of, [](const SlotRecord& slot) { return std::tuple(slot.requires_grad, slot.is_leaf); });
    SlotRecord made = *of[0];
    const Type types[] = {{of[0]->dtype, of[0]->shape}, {of[1]->dtype, of[1]->shape}, {of[2]->dtype, of[2]->shape}};
    made.shape = type({&types[0], &types[1], &types[2]}).shape;
    made.origin = static_cast<uint32_t>(number(of[0]->origin, of[1]->origin, of[2]->origin));
    for (int axis = 0; axis < made.shape.rank(); ++axis)
      made.strides[axis] = number(of[0]->strides[axis], of[1]->strides[axis], of[2]->strides[axis]);
    return made;
  }

  HeldValue held(const Three<HeldValue>& of) const {
    demand_equal(of, [](const HeldValue& value) { return std::tuple(value.requires_grad, value.root_is_slot, value.root); });
    demand_equal(of, [](const HeldValue& value) { return std::pair(value.connects, value.views.size()); });
    HeldValue made = *of[0];
    made.value = static_cast<uint32_t>(number(of[0]->value, of[1]->value, of[2]->value));
    for (size_t i = 0; i < made.views.size(); ++i) {
      const Three<ViewStep> views{&of[0]->views[i], &of[1]->views[i], &of[2]->views[i]};
      demand_equal(views, [](const ViewStep& view) { return std::tuple(view.op, view.index, view.recorded); });
      made.views[i].attributes =
          attributes(views[0]->op, false, {&views[0]->attributes, &views[1]->attributes, &views[2]->attributes});
      made.views[i].type = type({&views[0]->type, &views[1]->type, &views[2]->type});
    }
    return made;
  }

  const int64_t steps_;
};

SegmentGraph rolled(const TraceTree& tree, TraceId end, std::span<const uint32_t> held, const BoundSizes& sizes,
                    const std::string& name) {
  const ResizedWay way = resized_way(tree, end, sizes);
  SegmentGraph segment = make_segment_graph(way.tree, way.begin, way.end, held, name);
  segment.graph = passes::roll(segment.graph);
  return segment;
}

}  // namespace

std::optional<SegmentGraph> make_rolled_graph(const TraceTree& tree, TraceId end, std::span<const uint32_t> held,
                                              const BoundSizes& here, const BoundSizes& other, const std::string& name) try {
  const std::vector<int64_t> step = step_between(other, here);
  const int64_t steps = steps_to_shortest(here, step, trips_on_way(tree, end));
  const std::vector<NumbersOfNode> numbers = numbers_on_way(tree, end, here);
  std::array<SegmentGraph, 3> shorter;
  for (int64_t i = 0; i < 3; ++i) {
    const BoundSizes sizes = sizes_below(here, step, steps - i);
    const std::vector<NumbersOfNode> numbers_there = numbers_on_way(tree, end, sizes);
    std::vector<uint32_t> held_there;
    for (uint32_t number : held) held_there.push_back(number_in(numbers_there, numbers, number));
    demand(std::ranges::is_sorted(held_there));
    shorter[i] = rolled(tree, end, held_there, sizes, name);
  }
  const Extrapolation reach(steps);
  const Three<SegmentGraph> of{&shorter[0], &shorter[1], &shorter[2]};
  SegmentGraph made;
  made.graph = reach.graph({&of[0]->graph, &of[1]->graph, &of[2]->graph});
  made.slots = reach.slots(of);
  made.held = reach.held(of);
  made.roots = of[0]->roots;
  for (const SegmentGraph* segment : of) demand(segment->roots == made.roots);
  return made;
} catch (const Uneven&) {
  return std::nullopt;
} catch (const UserError&) {  // shapes that do not fit: no call has these sizes
  return std::nullopt;
}

}  // namespace calque
