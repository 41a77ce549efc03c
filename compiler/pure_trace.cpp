// Reads and compares observed calls of pure functions.
#include "compiler/pure_trace.h"

#include <fmt/format.h>

#include <algorithm>

#include "compiler/trace_difference.h"

namespace calque {

namespace {

class Reader {
 public:
  Reader(Frame& frame, const TraceTree& tree, std::span<const Tensor> arguments, std::span<const StateSnapshot> state)
      : frame_(frame), tree_(tree), nodes_(frame.placed_nodes()), arguments_(arguments), state_(state) {}

  PureTrace read(const detail::ResultReader& result) {
    check_notes();
    trace_.root = frame_.root();
    trace_.numbers = frame_.notes().numbers;
    for (const Draw& draw : frame_.notes().draws) trace_.draws.push_back(draw.count);
    for (size_t i = 0; i < frame_.slots().size(); ++i) add_slot(i);
    if (!result.is_whole) throw Refusal{"its result has a part that cannot be taken apart and made again"};
    trace_.result_words = result.words;
    for (const Tensor* tensor : result.tensors) trace_.results.push_back(result_source(*tensor));
    const std::vector<const TensorImpl*> now = look_again(state_);
    for (size_t i = 0; i < state_.size(); ++i) add_write(state_[i], now[i]);
    if (frame_.is_matching()) check_nothing_else_is_held(result);
    return std::move(trace_);
  }

 private:
  void check_notes() const {
    const FrameNotes& notes = frame_.notes();
    if (!notes.obstacle) return;
    const TraceNode& after = tree_[notes.after];
    const std::string where =
        after.kind == TraceNode::Kind::op ? " after " + at_line(row(after.op).name, after.location) : "";
    throw Refusal{notes.obstacle + where};
  }

  /// All places that the tensor was in when the call began; the first of them is taken.
  std::vector<Source> places_of(const TensorImpl& tensor) const {
    std::vector<Source> places;
    for (size_t i = 0; i < arguments_.size() && places.empty(); ++i)
      if (arguments_[i].impl() == &tensor)
        places.push_back({Source::Kind::argument, static_cast<uint32_t>(i), {}});
    for (const StateSnapshot& entry : state_)
      if (entry.tensor == &tensor) places.push_back({Source::Kind::variable, 0, entry.variable});
    return places;
  }

  /// `changes_unseen`: an op took a copy of it instead.
  std::optional<Source> outside_source(const TensorImpl& tensor, const SlotRecord* record,
                                       bool changes_unseen = false) {
    const std::vector<Source> places = places_of(tensor);
    if (places.empty()) return std::nullopt;
    for (size_t i = 1; i < places.size(); ++i) note_tie({places[0], places[i]});
    for (const Source& place : places)
      if (place.kind == Source::Kind::variable) note_use(place.variable, false, record, changes_unseen);
    return places[0];
  }

  void note_tie(const Tie& tie) {
    if (std::find(trace_.ties.begin(), trace_.ties.end(), tie) == trace_.ties.end())
      trace_.ties.push_back(tie);
  }

  void note_use(const VariableRef& variable, bool was_empty, const SlotRecord* record, bool changes_unseen) {
    for (VariableUse& use : trace_.variables)
      if (use.variable.get() == variable.get()) {
        if (record) use.read = *record;
        return;
      }
    trace_.variables.push_back(
        {variable, was_empty, changes_unseen, record ? std::optional(*record) : std::nullopt});
  }

  void add_slot(size_t slot) {
    const TensorImpl& tensor = *frame_.slots()[slot].impl();
    for (size_t i = 0; i < trace_.numbers.size(); ++i)
      if (trace_.numbers[i].tensor.impl() == &tensor) {
        trace_.slots.push_back({Source::Kind::number, static_cast<uint32_t>(i), {}});
        return;
      }
    const std::vector<Draw>& draws = frame_.notes().draws;
    for (size_t i = 0; i < draws.size(); ++i)
      if (draws[i].state.impl() == &tensor) {
        trace_.slots.push_back({Source::Kind::draw, static_cast<uint32_t>(i), {}});
        return;
      }
    const auto [node, record] = binding_of(slot);
    const TensorImpl* original = &tensor;
    for (const CopyMade& made : frame_.notes().copies)
      if (made.copy.impl() == &tensor) original = made.original;
    const bool is_copy = original != &tensor;
    if (is_copy && tensor.requires_grad)
      throw Refusal{at_line(row(node->op).name, node->location) +
                    " uses a tensor that gradients flow to, and a writable pointer to its elements is about"};
    if (const std::optional<Source> source = outside_source(*original, record, is_copy)) {
      trace_.slots.push_back(*source);
      return;
    }
    throw Refusal{
        fmt::format("{} uses a tensor that is neither an argument nor registered state, or a view of "
                    "memory to which a writable pointer is about",
                    at_line(row(node->op).name, node->location))};
  }

  /// The op that used a slot first, and what it found there.
  std::pair<const TraceNode*, const SlotRecord*> binding_of(size_t slot) const {
    for (const PlacedNode& placed : nodes_) {
      const TraceNode& node = tree_[placed.id];
      if (const auto place = placed.place_of_slot(static_cast<uint32_t>(slot), node.new_slots.size()))
        return {&node, &node.new_slots[*place]};
    }
    throw Refusal{"an op uses a tensor that is neither an argument nor registered state"};
  }

  Source result_source(const Tensor& tensor) {
    if (!tensor) return {};
    if (const auto value = frame_.value_of(*tensor.impl())) return {Source::Kind::value, *value, {}};
    if (const auto source = outside_source(*tensor.impl(), nullptr)) return *source;
    throw Refusal{"it returns a tensor that it neither made by an op nor was given"};
  }

  void add_write(const StateSnapshot& before, const TensorImpl* now) {
    if (now == before.tensor || !now) return;
    if (const std::optional<uint32_t> value = value_held_by_me(now)) {
      trace_.writes.push_back({before.variable, {Source::Kind::value, *value, {}}});
    } else {
      // Of this call only if it is a tensor that the call was given; another thread assigns to its own
      // variables.
      const bool is_argument =
          std::any_of(arguments_.begin(), arguments_.end(), [&](const Tensor& a) { return a.impl() == now; });
      const bool is_slot = std::any_of(frame_.slots().begin(), frame_.slots().end(),
                                       [&](const Tensor& a) { return a.impl() == now; });
      if (!is_argument && !is_slot) return;
      const std::optional<Source> source = outside_source(*now, nullptr);
      if (!source) return;
      trace_.writes.push_back({before.variable, *source});
    }
    note_use(before.variable, before.tensor == nullptr, nullptr, false);
  }

  /// Looked up by address among the values of this call: the tensor may be another thread's and gone.
  std::optional<uint32_t> value_held_by_me(const TensorImpl* tensor) {
    if (live_.empty()) {
      const auto live = frame_.live_values();
      live_.assign(live.begin(), live.end());
    }
    if (std::find(live_.begin(), live_.end(), tensor) == live_.end()) return std::nullopt;
    return frame_.value_of(*tensor);
  }

  /// A value of the call that somebody holds beside its result and registered state would be missed there.
  void check_nothing_else_is_held(const detail::ResultReader& result) const {
    for (const TensorImpl* value : frame_.live_values()) {
      int known = 0;
      for (const Tensor* tensor : result.tensors) known += tensor->impl() == value;
      for (const VariableWrite& write : trace_.writes)
        known += write.source.kind == Source::Kind::value && write.source.index == *frame_.value_of(*value);
      if (value->references.load(std::memory_order_relaxed) <= known) continue;
      throw Refusal{made_by(*value) + " makes a tensor that is kept outside of the result"};
    }
  }

  std::string made_by(const TensorImpl& value) const {
    const std::optional<uint32_t> number = frame_.value_of(value);
    for (const PlacedNode& placed : nodes_) {
      const TraceNode& node = tree_[placed.id];
      if (number && placed.makes(*number, node.results.size())) return at_line(row(node.op).name, node.location);
    }
    return "an op";
  }

  const Frame& frame_;
  const TraceTree& tree_;
  const std::vector<PlacedNode> nodes_;
  std::span<const Tensor> arguments_;
  std::span<const StateSnapshot> state_;
  std::vector<TensorImpl*> live_;
  PureTrace trace_;
};

std::string describe(const Source& source) {
  switch (source.kind) {
    case Source::Kind::empty:
      return "no tensor";
    case Source::Kind::value:
      return "a value that the call made";
    case Source::Kind::argument:
      return fmt::format("tensor {} of the arguments", source.index);
    case Source::Kind::variable:
      return "registered state";
    case Source::Kind::draw:
      return "a state for random numbers";
    case Source::Kind::number:
      return "a number";
  }
  return "";
}

bool same_record(const SlotRecord& a, const SlotRecord& b) {
  return a.dtype == b.dtype && a.requires_grad == b.requires_grad && a.is_leaf == b.is_leaf &&
         a.shape == b.shape &&
         std::equal(a.strides.begin(), a.strides.begin() + a.shape.rank(), b.strides.begin());
}

}  // namespace

PureTrace read_trace(Frame& frame, const TraceTree& tree, std::span<const Tensor> arguments,
                     std::span<const StateSnapshot> state, const detail::ResultReader& result) {
  return Reader(frame, tree, arguments, state).read(result);
}

void note_end(PureTrace& trace, const Frame& frame, const TraceTree& tree) {
  trace.end = frame.notes().end;
  for (const TraceLoop& loop : loops_on_way(tree, trace.root, trace.end)) trace.trips.push_back(tree.sizes()[loop.trips]);
}

bool same_situation(const PureTrace& a, const PureTrace& b) {
  // A key tells of the modes before the call; another thread may have switched one of its own when the call began.
  if (a.root != b.root || a.ties != b.ties) return false;
  for (const VariableUse& use : a.variables)
    for (const VariableUse& other : b.variables) {
      if (use.variable.get() != other.variable.get()) continue;
      if (use.was_empty != other.was_empty || use.changes_unseen != other.changes_unseen) return false;
      if (use.read && other.read && !same_record(*use.read, *other.read)) return false;
    }
  return true;
}

std::string difference(const TraceTree& tree, const PureTrace& before, const PureTrace& now) {
  std::string text = describe_difference(tree, before.root, before.end, now.end, before.numbers, now.numbers);
  if (!text.empty()) return text;
  for (size_t i = 0; i < std::min(before.trips.size(), now.trips.size()); ++i)
    if (before.trips[i] != now.trips[i]) {
      const TraceNode& head = tree[loops_on_way(tree, now.root, now.end)[i].head];
      return fmt::format("the loop that begins with {} ran {} times {} than before", at_line(row(head.op).name, head.location),
                         std::abs(before.trips[i] - now.trips[i]), now.trips[i] < before.trips[i] ? "less" : "more");
    }
  for (size_t i = 0; i < std::min(before.slots.size(), now.slots.size()); ++i)
    if (before.slots[i] != now.slots[i])
      return fmt::format("tensor {} that it uses is {} and was {} before", i, describe(now.slots[i]),
                         describe(before.slots[i]));
  if (before.draws != now.draws) return "it draws another number of random numbers than before";
  if (before.result_words != now.result_words)
    return "a part of its result that is no tensor differs from before";
  if (before.results != now.results) return "its result is made of other tensors than before";
  if (before.writes != now.writes) return "it assigns to other registered state than before";
  return "";
}

}  // namespace calque
