// Finds what the iterations of a loop bind, and writes a graph anew that takes and gives it stacked.
#include "compiler/step_sequences.h"

#include <algorithm>
#include <map>
#include <set>

#include "compiler/extrapolate.h"
#include "compiler/plan.h"
#include "compiler/way_position.h"
#include "passes/expand_gradients.h"
#include "passes/loops/sequence.h"
#include "passes/rewriter.h"

namespace calque {

namespace {

class SlotFinder {
 public:
  SlotFinder(const TraceTree& tree, TraceId begin, TraceId end) : tree_(tree), path_(tree.path(begin, end)) {
    WayPosition position;
    for (TraceId id : path_) {
      const TraceNode& node = tree[id];
      if (tree.loop_at(id)) position.enter(node.level);
      std::vector<int64_t>& slots = operands_.emplace_back();
      for (const TraceOperand& operand : node.inputs)
        slots.push_back(operand.is_slot ? int64_t{position.number(operand, node.level)} : kNoSlot);
      first_.push_back(node.first_slot + position.levels[node.level].slots);
      if (node.loop == kNoLoop)
        for (size_t i = 0; i < node.new_slots.size(); ++i)
          single_.emplace(first_.back() + static_cast<uint32_t>(i), &node.new_slots[i]);
      else if (node.next_iteration != kNoTrace)
        position.go_on(tree.loop(node.loop), tree.sizes()[tree.loop(node.loop).trips]);
    }
  }

  std::vector<Steps> run() {
    std::vector<Steps> all;
    for (size_t place = 0; place < path_.size(); ++place) {
      const TraceNode& node = tree_[path_[place]];
      if (node.loop == kNoLoop) continue;
      const TraceLoop& loop = tree_.loop(node.loop);
      for (uint32_t i = 0; i < node.new_slots.size(); ++i) {
        const uint32_t first = first_[place] + i;
        Steps steps = bound_before(place, loop.length, first, node.new_slots[i]);
        for (int64_t iteration = 0; iteration <= tree_.sizes()[loop.trips]; ++iteration)
          steps.push_back(first + static_cast<uint32_t>(iteration) * loop.slots);
        all.push_back(std::move(steps));
      }
    }
    return all;
  }

 private:
  static constexpr int64_t kNoSlot = -1;

  /// What the same operand of the same op was, one iteration before the first and further back.
  Steps bound_before(size_t place, size_t length, uint32_t slot, const SlotRecord& record) {
    Steps steps;
    const size_t operand = static_cast<size_t>(std::ranges::find(operands_[place], int64_t{slot}) - operands_[place].begin());
    for (size_t before = place; before >= length;) {
      before -= length;
      const TraceNode &here = tree_[path_[place]], &there = tree_[path_[before]];
      if (there.loop != kNoLoop || there.op != here.op || there.location != here.location || operand >= there.inputs.size()) break;
      const auto found = single_.find(operands_[before][operand]);
      if (found == single_.end() || !found->second->is_alike_but_for_sizes(record) || found->second->shape != record.shape) break;
      steps.insert(steps.begin(), static_cast<uint32_t>(found->first));
      single_.erase(found);
    }
    return steps;
  }

  const TraceTree& tree_;
  std::vector<TraceId> path_;
  std::vector<std::vector<int64_t>> operands_;     // by node: which slots its operands are, in the first iteration
  std::vector<uint32_t> first_;                    // by node: the first slot that it binds
  std::map<int64_t, const SlotRecord*> single_;    // slots that no loop binds, and no sequence has yet
};

// --- the graph

class Gatherer {
 public:
  Gatherer(const SegmentGraph& single, std::span<const Steps> slots, std::span<const Steps> values)
      : single_(single), source_(single.graph), values_(values), map_(source_.value_count()) {
    made_.graph.set_name(source_.name());
    add_inputs(slots);
    for (const Node& node : source_.nodes()) copy(node);
  }

  SegmentGraph run() {
    sort_held();
    for (size_t i : plain_held_) hold(single_.held[i], i);
    for (const std::vector<size_t>& steps : held_steps_) hold_steps(steps);
    for (const auto& [root, value] : roots_behind_) {  // those that are not held themselves
      made_.roots[root] = static_cast<int>(outputs_.size());
      outputs_.push_back(value);
    }
    made_.graph.set_outputs(outputs_);
    return std::move(made_);
  }

 private:
  struct Step {
    ValueId sequence;
    int64_t index;
  };

  void add_inputs(std::span<const Steps> sequences) {
    const std::vector<bool> is_by = passes::differentiated_by(source_);
    std::vector<bool> is_step(single_.slots.size(), false);
    for (const Steps& steps : sequences)
      for (uint32_t slot : steps) {
        demand(!is_by[source_.inputs()[slot]]);
        is_step[slot] = true;
      }
    for (uint32_t slot = 0; slot < single_.slots.size(); ++slot)
      if (!is_step[slot]) map_[source_.inputs()[slot]] = add_input(single_.slots[slot], single_.sources[slot]);
    for (const Steps& steps : sequences) {
      const ValueId sequence = add_input(stacked(single_.slots[steps.back()], steps.size()), {steps[0], steps});
      for (size_t i = 0; i < steps.size(); ++i)
        steps_.emplace(source_.inputs()[steps[i]], Step{sequence, static_cast<int64_t>(i)});
    }
    for (size_t i = single_.slots.size(); i < source_.inputs().size(); ++i)
      map_[source_.inputs()[i]] = made_.graph.add_input(source_.type(source_.inputs()[i]));
  }

  ValueId add_input(const SlotRecord& record, SlotSource source) {
    made_.slots.push_back(record);
    made_.sources.push_back(std::move(source));
    return made_.graph.add_input({record.dtype, record.shape});
  }

  static SlotRecord stacked(SlotRecord record, size_t count) {
    demand(record.shape.rank() < kMaxRank);
    record.shape.insert(0, static_cast<int64_t>(count));
    record.is_leaf = false;
    record.strides = row_major_strides(record.shape);
    return record;
  }

  void copy(const Node& node) {
    std::map<ValueId, ValueId> read;  // steps, once for each op
    std::vector<ValueId> inputs;
    for (size_t i = 0; i < node.inputs.size(); ++i) {
      const ValueId input = node.inputs[i];
      const auto found = steps_.find(input);
      demand(found == steps_.end() || node.op != Op::matmul || i != 1);  // layers: weights are packed once, not copied
      if (found != steps_.end() && !read.contains(input))
        read[input] = passes::step_of(made_.graph, found->second.sequence, found->second.index, node.location);
      inputs.push_back(found == steps_.end() ? map_[input] : read[input]);
    }
    const ValueId first = passes::append_copy(made_.graph, node, inputs).first_result;
    for (uint32_t i = 0; i < node.result_count; ++i) map_[node.result(i)] = first + i;
  }

  /// Which held values are by themselves, and which those of the lists are.
  void sort_held() {
    std::map<uint32_t, size_t> index_of;
    for (size_t i = 0; i < single_.held.size(); ++i) index_of.emplace(single_.held[i].value, i);
    std::vector<bool> is_step(single_.held.size(), false);
    for (const Steps& steps : values_) {
      std::vector<size_t>& all = held_steps_.emplace_back();
      for (uint32_t value : steps) {
        all.push_back(index_of.at(value));
        is_step[all.back()] = true;
      }
    }
    for (size_t i = 0; i < is_step.size(); ++i) {
      if (!is_step[i]) plain_held_.push_back(i);
      else demand(!single_.held[i].root_is_slot && step_roots_.insert(single_.held[i].root).second);
    }
  }

  /// What a held value is, or its root, as the new graph has it.
  ValueId held_value(size_t index) const { return map_[source_.outputs()[index]]; }
  ValueId root_of(const HeldValue& value) const { return held_value(static_cast<size_t>(single_.roots[static_cast<size_t>(value.root)])); }

  void hold(HeldValue value, size_t index) {
    if (!value.root_is_slot) {
      demand(!step_roots_.contains(value.root));
      const auto [root, is_new] = new_roots_.try_emplace(value.root, made_.roots.size());
      if (is_new) add_root(root_of(value), single_.roots[static_cast<size_t>(value.root)] < std::ssize(single_.held));
      if (value.views.empty()) made_.roots[root->second] = static_cast<int>(outputs_.size());
      value.root = static_cast<int>(root->second);
    }
    made_.held.push_back(std::move(value));
    outputs_.push_back(held_value(index));
  }

  void add_root(ValueId value, bool is_held) {
    if (!is_held) roots_behind_.emplace_back(made_.roots.size(), value);
    made_.roots.push_back(static_cast<int>(outputs_.size()));
  }

  void hold_steps(std::span<const size_t> steps) {
    HeldValue all = single_.held[steps[0]];
    std::vector<ValueId> values, roots;
    for (size_t step : steps) {
      const HeldValue& value = single_.held[step];
      demand(value.requires_grad == all.requires_grad && value.connects == all.connects &&
             std::ranges::equal(value.views, all.views, is_same_view));
      all.steps.push_back(value.value);
      values.push_back(held_value(step));
      roots.push_back(root_of(value));
    }
    all.root = static_cast<int>(made_.roots.size());
    const ValueId stacked = stack(values);
    add_root(all.views.empty() ? stacked : stack(roots), all.views.empty());
    made_.held.push_back(std::move(all));
    outputs_.push_back(stacked);
  }

  static bool is_same_view(const ViewStep& a, const ViewStep& b) {
    return a.op == b.op && a.attributes == b.attributes && a.index == b.index && a.type == b.type && a.recorded == b.recorded;
  }

  ValueId stack(std::span<const ValueId> values) {
    std::vector<ValueId> parts;
    for (const ValueId value : values) {
      Shape shape = made_.graph.type(value).shape;
      demand(shape.rank() < kMaxRank);
      shape.insert(0, 1);
      const ValueId inputs[] = {value};
      parts.push_back(made_.graph.add(Op::reshape, inputs, Attributes::of(Ints(shape)), nullptr).result());
    }
    return made_.graph.add(Op::concat, parts, Attributes::of(int64_t{0}), nullptr).result();
  }

  const SegmentGraph& single_;
  const Graph& source_;
  std::span<const Steps> values_;
  SegmentGraph made_;
  std::vector<ValueId> map_;
  std::map<ValueId, Step> steps_;                  // by input of the source
  std::vector<size_t> plain_held_;
  std::vector<std::vector<size_t>> held_steps_;    // of each list
  std::set<int> step_roots_;
  std::map<int, size_t> new_roots_;
  std::vector<ValueId> outputs_;
  std::vector<std::pair<size_t, ValueId>> roots_behind_;  // with what they are among the roots
};

}  // namespace

std::vector<Steps> slot_sequences(const TraceTree& tree, TraceId begin, TraceId end) { return SlotFinder(tree, begin, end).run(); }

SegmentGraph with_sequences(const SegmentGraph& single, std::span<const Steps> slots, std::span<const Steps> values) {
  if (slots.empty() && values.empty()) return single;
  return Gatherer(single, slots, values).run();
}

SegmentGraph with_sequences_of(const SegmentGraph& single, const SegmentGraph& like) {
  std::vector<Steps> slots, values;
  for (const SlotSource& source : like.sources)
    if (!source.steps.empty()) slots.push_back(source.steps);
  for (const HeldValue& value : like.held)
    if (!value.steps.empty()) values.push_back(value.steps);
  return with_sequences(single, slots, values);
}

}  // namespace calque
