// Writes a recorded segment down as a graph.
#include "compiler/segment_graph.h"

#include <algorithm>
#include <cctype>
#include <map>
#include <set>

#include "compiler/way_position.h"

namespace calque {

namespace {

class Writer {
 public:
  Writer(SegmentGraph& segment, const StraightWay& way, NodeLocations locations)
      : segment_(segment), graph_(segment.graph), tree_(way.tree()), path_(way.path()), locations_(locations) {}

  void write_nodes() {
    // Inputs come first in a graph, so slots are added before any op.
    for (TraceId id : path_)
      for (const SlotRecord& slot : tree_[id].new_slots) {
        segment_.sources.push_back({static_cast<uint32_t>(segment_.slots.size())});
        segment_.slots.push_back(slot);
        graph_.add_input({slot.dtype, slot.shape});
      }
    add_padding();
    for (TraceId id : path_)
      if (tree_[id].kind == TraceNode::Kind::op) write_node(id);
  }

  void hold(std::span<const uint32_t> asked) {
    const std::vector<uint32_t> held = with_shared_roots(asked);
    std::map<ValueId, int> root_outputs;
    std::vector<ValueId> outputs;
    for (uint32_t value : held) outputs.push_back(values_[value].id);
    for (size_t i = 0; i < held.size(); ++i) {
      HeldValue entry{held[i], values_[held[i]].requires_grad, false, 0, outputs[i], outputs[i], true, {}};
      entry.root_id = follow_views(outputs[i], entry.views);
      entry.root_is_slot = graph_.is_input(entry.root_id);
      entry.root = entry.root_is_slot ? static_cast<int>(entry.root_id)
                                      : root_index(entry.root_id, root_outputs, outputs, held.size());
      const uint32_t* root = root_with_gradient(entry.root_id, entry.views);
      entry.connects = !root || std::binary_search(held.begin(), held.end(), *root);
      segment_.held.push_back(std::move(entry));
    }
    graph_.set_outputs(outputs);
  }

 private:
  struct Written {
    ValueId id;
    bool requires_grad;
  };

  /// The number of the value that views lead back to, if it was made here and has a gradient that they share.
  const uint32_t* root_with_gradient(ValueId root, const std::vector<ViewStep>& views) const {
    if (std::any_of(views.begin(), views.end(), [](const ViewStep& view) { return view.op == Op::detach; })) return nullptr;
    const auto found = numbers_.find(root);
    return found == numbers_.end() || !values_[found->second].requires_grad ? nullptr : &found->second;
  }

  std::vector<uint32_t> with_shared_roots(std::span<const uint32_t> asked) const {
    std::map<uint32_t, int> views_of;
    for (uint32_t value : asked) {
      std::vector<ViewStep> views;
      const ValueId id = follow_views(values_[value].id, views);
      if (const uint32_t* root = root_with_gradient(id, views); root && !views.empty()) ++views_of[*root];
    }
    std::vector<uint32_t> held(asked.begin(), asked.end());
    for (const auto& [root, count] : views_of)
      if (count > 1) held.push_back(root);
    std::sort(held.begin(), held.end());
    held.erase(std::unique(held.begin(), held.end()), held.end());
    return held;
  }

  const void* location_of(TraceId id) const {
    return locations_ == NodeLocations::lines ? tree_[id].location : reinterpret_cast<const void*>(uintptr_t{id});
  }

  /// For what is joined of fewer parts than when it was recorded.
  void add_padding() {
    std::vector<const Shape*> shapes;  // of the values
    for (TraceId id : path_) {
      const TraceNode& node = tree_[id];
      if (node.kind != TraceNode::Kind::op) continue;
      if (node.op == Op::concat) {
        Type padding{node.results[0].dtype, node.results[0].shape};
        const int axis = static_cast<int>(node.attributes[0] < 0 ? node.attributes[0] + padding.shape.rank() : node.attributes[0]);
        int64_t missing = padding.shape[axis];
        for (const TraceOperand& operand : node.inputs)
          missing -= (operand.is_slot ? segment_.slots[operand.index].shape : *shapes[operand.index])[axis];
        padding.shape.set(axis, missing);
        if (missing > 0) padding_.emplace(id, graph_.add_input(padding));
      }
      for (const ResultRecord& result : node.results) shapes.push_back(&result.shape);
    }
  }

  void write_node(TraceId trace_id) {
    const TraceNode& node = tree_[trace_id];
    const void* location = location_of(trace_id);
    std::vector<ValueId> inputs;
    bool may_need_gradient = false;
    for (const TraceOperand& operand : node.inputs) {
      inputs.push_back(operand.is_slot ? graph_.inputs()[operand.index] : values_[operand.index].id);
      may_need_gradient |= operand.is_slot ? segment_.slots[operand.index].requires_grad
                                           : values_[operand.index].requires_grad;
    }
    ValueId first = graph_.add(node.op, inputs, node.attributes, location).first_result;
    if (const auto padding = padding_.find(trace_id); padding != padding_.end()) {
      const ValueId parts[] = {first, padding->second};
      first = graph_.add(Op::concat, parts, node.attributes, location).result();
    }
    const bool recorded = node.grad_enabled || row(node.op).kind != OpKind::view || node.op == Op::detach;
    for (uint32_t i = 0; i < node.results.size(); ++i) {
      ValueId id = first + i;
      // What ran without recording carries no gradient on.
      if (may_need_gradient && !node.results[i].requires_grad && is_floating(node.results[i].dtype)) {
        const ValueId operand[] = {id};
        id = graph_.add(Op::detach, operand, {}, location).result();
      }
      for (ValueId made : {first + i, id})
        if (!recorded) unrecorded_.insert(made);
      numbers_.emplace(id, static_cast<uint32_t>(values_.size()));
      values_.push_back({id, node.results[i].requires_grad});
    }
  }

  /// The value that `value` is a view of, and the views from there to it.
  ValueId follow_views(ValueId value, std::vector<ViewStep>& views) const {
    while (!graph_.is_input(value)) {
      const Node& node = graph_.node(graph_.producer(value));
      if (row(node.op).kind != OpKind::view) break;
      views.push_back({node.op, node.attributes, static_cast<int>(value - node.first_result), graph_.type(value), value,
                       !unrecorded_.contains(value)});
      value = node.inputs[0];
    }
    std::reverse(views.begin(), views.end());
    return value;
  }

  int root_index(ValueId root, std::map<ValueId, int>& known, std::vector<ValueId>& outputs, size_t held_count) {
    const auto [entry, is_new] = known.try_emplace(root, static_cast<int>(segment_.roots.size()));
    if (is_new) {
      const auto held_end = outputs.begin() + static_cast<std::ptrdiff_t>(held_count);
      const auto position = std::find(outputs.begin(), held_end, root);
      segment_.roots.push_back(static_cast<int>(position - outputs.begin()));
      if (position == held_end) {
        segment_.roots.back() = static_cast<int>(outputs.size());
        outputs.push_back(root);
      }
    }
    return entry->second;
  }

  SegmentGraph& segment_;
  Graph& graph_;
  const TraceTree& tree_;
  std::vector<TraceId> path_;
  NodeLocations locations_;
  std::vector<Written> values_;
  std::map<ValueId, uint32_t> numbers_;  // of values_, by id
  std::set<ValueId> unrecorded_;         // views made while gradients were off
  std::map<TraceId, ValueId> padding_;
};

std::string identifier(std::string name) {
  for (char& c : name)
    if (!std::isalnum(static_cast<unsigned char>(c))) c = '_';
  return name.empty() || std::isdigit(static_cast<unsigned char>(name[0])) ? "f_" + name : name;
}

}  // namespace

SegmentGraph make_segment_graph(const TraceTree& tree, TraceId begin, TraceId end, std::span<const uint32_t> held,
                                const std::string& name, NodeLocations locations) {
  SegmentGraph segment;
  segment.graph.set_name(identifier(name));
  const StraightWay way(tree, begin, end);
  Writer writer(segment, way, locations);
  writer.write_nodes();
  writer.hold(held);
  return segment;
}

std::vector<uint32_t> SegmentGraph::held_numbers() const {
  std::vector<uint32_t> numbers;
  for (const HeldValue& value : held) {
    if (value.steps.empty()) numbers.push_back(value.value);
    numbers.insert(numbers.end(), value.steps.begin(), value.steps.end());
  }
  std::ranges::sort(numbers);
  return numbers;
}

std::vector<bool> SegmentGraph::input_requires_grad() const {
  std::vector<bool> flags;
  for (const SlotRecord& slot : slots) flags.push_back(slot.requires_grad);
  return flags;
}

std::vector<bool> SegmentGraph::output_has_gradient() const {
  std::vector<bool> flags(graph.outputs().size(), false);
  for (size_t i = 0; i < held.size(); ++i) flags[i] = held[i].requires_grad;
  return flags;
}

}  // namespace calque
