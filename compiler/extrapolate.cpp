// What is no number must be equal in all neighbours; what is one goes on as it begins.
#include "compiler/extrapolate.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <tuple>

#include "compiler/neighbours.h"
#include "passes/expand_gradients.h"
#include "passes/rewriter.h"

namespace calque {

namespace {

/// One thing in each of the neighbours.
template <class T>
using Each = std::vector<const T*>;

/// `part` gives the address of a part.
template <class T, class Part>
auto parts(const Each<T>& of, Part part) {
  std::vector<decltype(part(*of[0]))> made;
  made.reserve(of.size());
  for (const T* whole : of) made.push_back(part(*whole));
  return made;
}

template <class T, class Member>
void demand_equal(const Each<T>& of, Member member) {
  for (size_t i = 1; i < of.size(); ++i) demand(member(*of[i]) == member(*of[0]));
}

class Extrapolation {
 public:
  explicit Extrapolation(std::span<const int64_t> steps) : steps_(steps) {}

  /// Inputs from `slots` on are padding.
  Graph graph(const Each<Graph>& of, size_t slots) const {
    const Graph& first = *of[0];
    demand_equal(of, [](const Graph& graph) { return graph.inputs().size(); });
    demand_equal(of, [](const Graph& graph) { return graph.nodes().size(); });
    demand_equal(of, [](const Graph& graph) { return std::vector(graph.outputs().begin(), graph.outputs().end()); });
    Graph made(first.name());
    for (size_t i = 0; i < first.inputs().size(); ++i) {
      demand_equal(of, [i](const Graph& graph) { return graph.inputs()[i]; });
      const ValueId id = first.inputs()[i];
      const Type type = i < slots ? type_of(of, id) : padding_of(of, id);
      demand(made.add_input(type, first.input_name(i)) == id);
    }
    for (NodeId id = 0; id < first.nodes().size(); ++id) {
      const Node& node = first.node(id);
      add_node(made, parts(of, [id](const Graph& graph) { return &graph.node(id); }));
      for (ValueId value = node.first_result; value < node.first_result + node.result_count; ++value)
        demand(made.type(value) == type_of(of, value));
    }
    made.set_outputs({first.outputs().begin(), first.outputs().end()});
    return made;
  }

  std::vector<SlotRecord> slots(const Each<SegmentGraph>& of) const {
    demand_equal(of, [](const SegmentGraph& segment) { return segment.slots.size(); });
    std::vector<SlotRecord> made;
    for (size_t i = 0; i < of[0]->slots.size(); ++i)
      made.push_back(slot(parts(of, [i](const SegmentGraph& segment) { return &segment.slots[i]; })));
    return made;
  }

  std::vector<HeldValue> held(const Each<SegmentGraph>& of) const {
    demand_equal(of, [](const SegmentGraph& segment) { return segment.held.size(); });
    std::vector<HeldValue> made;
    for (size_t i = 0; i < of[0]->held.size(); ++i)
      made.push_back(held(parts(of, [i](const SegmentGraph& segment) { return &segment.held[i]; })));
    return made;
  }

 private:
  /// Of the neighbours, which `get` takes the number from.
  template <class T, class Get>
  int64_t number(const Each<T>& of, Get get) const {
    const auto at = [&](size_t i) { return static_cast<int64_t>(get(*of[i])); };
    int64_t made = at(0), witness = at(0);
    for (size_t d = 0; d < steps_.size(); ++d) {
      const int64_t step = at(1 + 2 * d) - at(0);
      demand(at(2 + 2 * d) - at(1 + 2 * d) == step);
      made += step * steps_[d];
      witness += step * kWitnessSteps;
    }
    demand(at(of.size() - 1) == witness);
    return made;
  }

  Type type_of(const Each<Graph>& of, ValueId value) const {
    return type(parts(of, [value](const Graph& graph) { return &graph.type(value); }));
  }
  Type padding_of(const Each<Graph>& of, ValueId value) const {
    const Type made = linear(parts(of, [value](const Graph& graph) { return &graph.type(value); }));
    demand(made.shape.element_count() == 0);
    return made;
  }
  Type linear(const Each<Type>& of) const {
    demand_equal(of, [](const Type& type) { return std::pair(type.dtype, type.shape.rank()); });
    Type made = *of[0];
    for (int axis = 0; axis < made.shape.rank(); ++axis) {
      const int64_t size = number(of, [axis](const Type& type) { return type.shape[axis]; });
      demand(size >= 0);
      made.shape.set(axis, size);
    }
    return made;
  }
  Type type(const Each<Type>& of) const {
    const Type made = linear(of);
    for (int axis = 0; axis < made.shape.rank(); ++axis) {
      const int64_t least = of[0]->shape[axis];
      // Sizes of 0 and 1 are no sizes like others.
      demand(made.shape[axis] == least || (least >= kLeastSize && made.shape[axis] > least));
    }
    return made;
  }

  Attributes attributes(Op op, bool has_block, const Each<Attributes>& of) const {
    demand_equal(of, [](const Attributes& attributes) { return attributes.size(); });
    Attributes made = *of[0];
    for (int i = 0; i < made.size(); ++i) {
      if (std::ranges::all_of(of, [&](const Attributes* attributes) { return (*attributes)[i] == made[i]; })) continue;
      const AttributeKind kind = has_block ? AttributeKind::integer : kind_of_word(op, i);
      const bool is_real = kind == AttributeKind::number;
      demand(is_real || kind == AttributeKind::integer || kind == AttributeKind::integers);
      made.set(i, is_real ? std::bit_cast<int64_t>(count(of, i)) : number(of, [i](const Attributes& attributes) { return attributes[i]; }));
    }
    return made;
  }

  /// A number that is a count, or one by a count, as a mean over all steps has it.
  double count(const Each<Attributes>& of, int word) const {
    const bool is_part = std::abs(of[0]->number(word)) < 1;
    const int64_t made = number(of, [&](const Attributes& attributes) {
      const double real = attributes.number(word), whole = std::nearbyint(is_part ? 1 / real : real);
      demand(std::abs(whole) < 0x1p53 && real == (is_part ? 1 / whole : whole));
      return static_cast<int64_t>(whole);
    });
    demand(!is_part || made != 0);
    return is_part ? 1.0 / static_cast<double>(made) : static_cast<double>(made);
  }

  void add_node(Graph& made, const Each<Node>& of) const {
    const Node& first = *of[0];
    demand_equal(of, [](const Node& node) { return std::tuple(node.op, node.location, node.body != nullptr); });
    demand_equal(of, [](const Node& node) { return node.inputs; });
    demand_equal(of, [](const Node& node) { return std::pair(node.first_result, node.result_count); });
    const Attributes words =
        attributes(first.op, first.body != nullptr, parts(of, [](const Node& node) { return &node.attributes; }));
    const Node& added = first.body ? made.add_block(first.op, first.inputs, words, body(of), first.location)
                                   : made.add(first.op, first.inputs, words, first.location);
    demand(added.first_result == first.first_result && added.result_count == first.result_count);
  }
  std::shared_ptr<const Graph> body(const Each<Node>& of) const {
    const Each<Graph> bodies = parts(of, [](const Node& node) { return node.body.get(); });
    return std::make_shared<const Graph>(graph(bodies, bodies[0]->inputs().size()));
  }

  SlotRecord slot(const Each<SlotRecord>& of) const {
    demand_equal(of, [](const SlotRecord& slot) { return std::tuple(slot.requires_grad, slot.is_leaf); });
    SlotRecord made = *of[0];
    std::vector<Type> types;
    for (const SlotRecord* slot : of) types.push_back({slot->dtype, slot->shape});
    Each<Type> addresses;
    for (const Type& type : types) addresses.push_back(&type);
    made.shape = type(addresses).shape;
    for (int axis = 0; axis < made.shape.rank(); ++axis)
      made.strides[axis] = number(of, [axis](const SlotRecord& slot) { return slot.strides[axis]; });
    return made;
  }

  HeldValue held(const Each<HeldValue>& of) const {
    demand_equal(of, [](const HeldValue& value) { return std::pair(value.requires_grad, value.root_is_slot); });
    demand_equal(of, [](const HeldValue& value) { return std::tuple(value.connects, value.views.size(), value.steps.empty()); });
    HeldValue made = *of[0];
    if (made.root_is_slot) made.root = static_cast<int>(number(of, [](const HeldValue& value) { return value.root; }));
    else demand_equal(of, [](const HeldValue& value) { return value.root; });
    made.value = static_cast<uint32_t>(number(of, [](const HeldValue& value) { return value.value; }));
    for (size_t i = 0; i < made.views.size(); ++i) {
      const Each<ViewStep> views = parts(of, [i](const HeldValue& value) { return &value.views[i]; });
      demand_equal(views, [](const ViewStep& view) { return std::tuple(view.op, view.index, view.recorded); });
      made.views[i].attributes =
          attributes(views[0]->op, false, parts(views, [](const ViewStep& view) { return &view.attributes; }));
      made.views[i].type = type(parts(views, [](const ViewStep& view) { return &view.type; }));
    }
    return made;
  }

  const std::span<const int64_t> steps_;
};

bool is_whole(const Graph& graph, const Node& slice) { return graph.type(slice.result()) == graph.type(slice.inputs[0]); }

/// The slice that a value is, seen through reshapes; null where it is none.
const Node* slice_behind(const Graph& graph, ValueId value) {
  while (!graph.is_input(value)) {
    const Node& node = graph.node(graph.producer(value));
    if (node.op == Op::slice) return &node;
    if (node.op != Op::reshape) break;
    value = node.inputs[0];
  }
  return nullptr;
}

/// Whether parts that a concat joins follow each other in one value.
bool joins_neighbours(const Graph& graph, const Node& node) {
  for (size_t i = 0; node.op == Op::concat && i + 1 < node.inputs.size(); ++i) {
    const Node *left = slice_behind(graph, node.inputs[i]), *right = slice_behind(graph, node.inputs[i + 1]);
    if (left && right && left->inputs[0] == right->inputs[0] && left->attributes[2] == right->attributes[1]) return true;
  }
  return false;
}

/// Without padding, which is nothing now. And short loops read some steps of a sequence where the long one reads it all, and has no
/// slice of it.
Graph without_traces_of_shortness(const Graph& graph, const Graph& shortest, size_t slots) {
  const auto is_padding = [&](ValueId value) { return graph.is_input(value) && value >= slots; };
  const std::vector<bool> is_by = passes::differentiated_by(graph);
  passes::Rewriter rewrite(graph, slots);
  for (NodeId id = 0; id < graph.nodes().size(); ++id) {
    const Node& node = graph.node(id);
    demand(!joins_neighbours(graph, node) || joins_neighbours(shortest, shortest.node(id)));  // rolling would have made one part of them
    const bool is_padded = node.op == Op::concat && node.inputs.size() == 2 && is_padding(node.inputs[1]);
    const bool has_grown = node.op == Op::slice && !is_by[node.result()] && is_whole(graph, node) && !is_whole(shortest, shortest.node(id));
    if (is_padded || has_grown) rewrite.set(node.result(), rewrite(node.inputs[0]));
    else rewrite.copy(node);
  }
  return rewrite.finish();
}

}  // namespace

SegmentGraph extrapolate(std::span<const SegmentGraph* const> neighbours, std::span<const int64_t> steps) {
  const Each<SegmentGraph> of(neighbours.begin(), neighbours.end());
  const Extrapolation reach(steps);
  SegmentGraph made;
  demand_equal(of, [](const SegmentGraph& segment) { return segment.roots; });
  made.slots = reach.slots(of);
  made.sources = of[0]->sources;
  const Each<Graph> graphs = parts(of, [](const SegmentGraph& segment) { return &segment.graph; });
  made.graph = without_traces_of_shortness(reach.graph(graphs, made.slots.size()), *graphs[0], made.slots.size());
  made.held = reach.held(of);
  made.roots = of[0]->roots;
  return made;
}

}  // namespace calque
