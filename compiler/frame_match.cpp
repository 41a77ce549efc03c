// Matching of one call: compares each op with what was recorded, and answers with placeholders.
#include "compiler/frame.h"

#include <algorithm>

#include "compiler/compiled_function.h"
#include "compiler/resize.h"
#include "compiler/segment.h"
#include "ir/op/error.h"
#include "runtime/dispatch.h"
#include "runtime/kernels/eager.h"
#include "runtime/view_origin.h"

namespace calque {

bool Frame::differs_in_value_only(const TraceNode& node, const OpCall& call) {
  const Attributes &recorded = node.attributes, &asked = call.attributes;
  if (node.op != Op::full || call.op != Op::full || recorded.size() != asked.size()) return false;
  for (int i = 1; i < asked.size(); ++i)
    if (recorded[i] != asked[i]) return false;
  return true;
}

[[gnu::always_inline]] inline TensorImpl* Frame::placeholder(const ResultRecord& record) {
  TensorImpl* const impl = function_.scratch().spare;
  if (!impl) return TensorImpl::create(record.dtype, record.requires_grad, record.shape, record.strides);
  function_.scratch().spare = impl->next;
  impl->dtype = record.dtype;
  impl->requires_grad = record.requires_grad;
  impl->shape = record.shape;
  impl->strides = record.strides;
  return impl;
}

[[gnu::always_inline]] inline bool Frame::matches_operand(const TraceNode& node, size_t i, TensorImpl& tensor, uint32_t& next_new_slot) {
  const TraceOperand& operand = node.inputs[i];
  const uint32_t number = position_.number(operand, node.level), slot = number;
  if (!operand.is_slot) return in_segment(tensor) && tensor.value_id == number;
  if (in_segment(tensor)) return false;
  if (slot < slots_.size()) return slots_[slot].impl() == &tensor;
  // First sight of this slot; one op may bind the same new slot twice.
  if (slot - first_slot(node) < next_new_slot)
    return true;                                 // compared with its first sight by the caller
  if (next_new_slot == node.new_slots.size()) return false;  // one of an earlier loop, which ran less often
  if (tensor.is_pending()) materialize(tensor);  // throws: it could not be computed
  refresh_history(tensor);
  return node.new_slots[next_new_slot++].fits(tensor);
}

[[gnu::always_inline]] inline bool Frame::matches_attributes(const TraceNode& node, const Attributes& attributes) const {
  return node.steps ? matches_stepped_attributes(node, attributes) : node.attributes == attributes;
}

bool Frame::matches_stepped_attributes(const TraceNode& node, const Attributes& attributes) const {
  if (node.attributes.size() != attributes.size()) return false;
  const int64_t iteration = position_.levels[node.level].iteration;
  for (int i = 0; i < attributes.size(); ++i)
    if (attributes[i] != node.attributes[i] + iteration * (*node.steps)[static_cast<size_t>(i)]) return false;
  return true;
}

[[gnu::always_inline]] inline bool Frame::is_same_op(const TraceNode& node, const OpCall& call) const {
  return node.generation == tree_.generation() && node.op == call.op && node.grad_enabled == thread_state.grad_enabled &&
         node.inputs.size() == call.inputs.size() && matches_attributes(node, call.attributes);
}

bool Frame::is_bound(const TensorImpl& tensor, size_t slots) const {
  return std::any_of(slots_.begin(), slots_.begin() + static_cast<std::ptrdiff_t>(slots),
                     [&](const Tensor& slot) { return slot.impl() == &tensor; });
}

/// As when a way is recorded: a tensor that had a slot before a loop is not new to its iterations (so that these are told from what
/// follows), nor to a gradient, in which it has a part.
size_t Frame::known_slots(const TraceNode& node) const {
  if (node.op == Op::grad) return first_slot(node);
  return node.loop == kNoLoop ? 0 : node.first_slot + position_.levels[node.level - 1].slots;
}

bool Frame::matches(const TraceNode& node, const OpCall& call) {
  if (!is_same_op(node, call)) return false;
  uint32_t next_new_slot = 0;
  for (size_t i = 0; i < call.inputs.size(); ++i)
    if (!matches_operand(node, i, *call.inputs[i], next_new_slot)) return false;
  if (node.new_slots.empty()) return true;
  const uint32_t first = first_slot(node);
  if (slots_.size() != first) return false;
  const size_t known = known_slots(node);
  for (size_t i = 0; i < call.inputs.size(); ++i) {
    const TraceOperand& operand = node.inputs[i];
    const uint32_t slot = position_.number(operand, node.level);
    if (!operand.is_slot || slot < first) continue;
    if (is_bound(*call.inputs[i], known)) {
      slots_.resize(first);
      return false;
    }
    if (slot == slots_.size())
      bind(*call.inputs[i]);
    else if (slots_[slot].impl() != call.inputs[i]) {
      slots_.resize(first);
      return false;
    }
  }
  return true;
}

bool Frame::matches_resized(TraceId id, const TraceNode& node, const OpCall& call) {
  if (node.op != call.op || node.grad_enabled != thread_state.grad_enabled || node.inputs.size() != call.inputs.size() ||
      node.attributes.size() != call.attributes.size())
    return false;
  std::vector<const TensorImpl*> fresh;
  for (size_t i = 0; i < call.inputs.size(); ++i) {
    TensorImpl& tensor = *call.inputs[i];
    const TraceOperand& operand = node.inputs[i];
    const uint32_t slot = position_.number(operand, node.level), new_slot = slot - first_slot(node);
    if (!operand.is_slot || slot < slots_.size() || (!in_segment(tensor) && new_slot < fresh.size())) {
      const bool same = !operand.is_slot       ? in_segment(tensor) && tensor.value_id == slot
                        : slot < slots_.size() ? slots_[slot].impl() == &tensor
                                               : fresh[new_slot] == &tensor;
      if (!same) return false;
      continue;
    }
    if (in_segment(tensor) || new_slot >= node.new_slots.size() || slots_.size() != first_slot(node)) return false;
    if (tensor.is_pending()) materialize(tensor);
    refresh_history(tensor);
    if (!node.new_slots[new_slot].fits_but_for_sizes(tensor)) return false;
    if (is_bound(tensor, known_slots(node))) return false;
    fresh.push_back(&tensor);
  }
  if (fresh.size() != node.new_slots.size()) return false;
  if (!resize(tree_, id, fresh, call, position_.levels[tree_[id].level].iteration)) return false;
  for (const TensorImpl* tensor : fresh) bind(const_cast<TensorImpl&>(*tensor));
  return true;
}

[[gnu::always_inline]] inline void Frame::hand_out(TraceId id, std::span<Tensor> results) {
  const TraceNode& node = tree_[id];
  const uint32_t first = node.first_value + position_.levels[node.level].values;
  for (size_t i = 0; i < results.size(); ++i) {
    const ResultRecord& record = node.results[i];
    TensorImpl* impl = placeholder(record);
    link(*impl, first + static_cast<uint32_t>(i));
    results[i] = Tensor::adopt(impl);
  }
  cursor_ = id;
  next_value_ = first + static_cast<uint32_t>(results.size());
}

/// A number that is an input of the plan: made eagerly, and not itself compared.
bool Frame::take_number(const TraceNode& node, const OpCall& call, std::span<Tensor> results) {
  if (!differs_in_value_only(node, call)) return false;
  const ObserverPause pause;
  dispatch(call.op, call.inputs, call.attributes, results, call.location);
  note_number(call, results[0]);
  return true;
}

bool Frame::take_apart(TraceId id, const OpCall& call, std::span<Tensor> results) {
  const TraceNode& node = tree_[id];
  if (node.op != call.op || node.grad_enabled != thread_state.grad_enabled || results.size() != node.new_slots.size()) return false;
  for (TensorImpl* input : call.inputs) {
    if (in_segment(*input)) return false;
    if (input->is_pending()) materialize(*input);
  }
  {
    const ObserverPause pause;
    dispatch(call.op, call.inputs, call.attributes, results, call.location);
  }
  bool fits = true;
  for (size_t i = 0; i < results.size(); ++i) fits = fits && node.new_slots[i].fits(*results[i].impl());
  if (!fits && !(tree_.has_sizes() && resize_apart(tree_, id, results))) return false;
  for (const Tensor& result : results) bind(*result.impl());
  cursor_ = id;
  return true;
}

void Frame::note_number(const OpCall& call, const Tensor& result) {
  if (function_.pure()) notes_.numbers.push_back({call.attributes.number(0), call.location, result});
}

[[gnu::always_inline]] inline bool Frame::is_due(const TraceNode& node, const OpCall& call) {
  if (node.kind != TraceNode::Kind::op || node.has_runs || node.is_checked) return false;
  if (!node.new_slots.empty()) {
    for (const TensorImpl* const tensor : call.inputs)
      if (!tensor || (tensor->is_pending() ? !is_own(*tensor) : tensor->storage->changes_unseen())) return false;
    return matches(node, call);
  }
  if (!is_same_op(node, call)) return false;
  const TraceOperand* operand = node.inputs.data();
  for (const TensorImpl* const tensor : call.inputs) {
    const uint32_t number = position_.number(*operand, node.level);
    if (operand->is_slot ? number >= slots_.size() || slots_[number].impl() != tensor || tensor->storage->changes_unseen()
                         : !tensor || !is_own(*tensor) || tensor->value_id != number)
      return false;
    ++operand;
  }
  return true;
}

bool Frame::expected(const OpCall& call, std::span<Tensor> results) {
  const OwnerLock::Inside inside(post_.lock());
  if (mode_ != Mode::match) return false;
  const TraceNode& here = tree_[cursor_];
  TraceId next = here.next_iteration;
  if (next == kNoTrace) {
    next = here.first_child;
    if (next == kNoTrace || tree_[next].loop != here.loop || !is_due(tree_[next], call)) return false;
  } else {
    const WayPosition::Level before = position_.levels[here.level];
    position_.go_on(tree_.loop(here.loop));
    if (!is_due(tree_[next], call)) {
      position_.levels[here.level] = before;
      return false;
    }
  }
  hand_out(next, results);
  ++function_.stats().matched_ops;
  return true;
}

bool Frame::before(const OpCall& call, std::span<Tensor> results) {
  // Another thread's values come first: who waits for another frame must not be inside its own.
  for (TensorImpl* input : call.inputs)
    if (Observer* owner = input->observer.load(std::memory_order_acquire); owner && owner != this)
      materialize(*input);
  const OwnerLock::Inside inside(post_.lock());
  return mode_ == Mode::match && match(call, results);
}

[[gnu::always_inline]] inline bool Frame::match_node(TraceId id, const OpCall& call, std::span<Tensor> results) {
  const TraceNode& node = tree_[id];
  if (node.level > tree_[cursor_].level) position_.enter(node.level);
  if (node.kind == TraceNode::Kind::op) {
    bool is_matched = false;
    if (node.has_runs) {
      const TraceNode straight = unrolled(node, position_);
      is_matched = matches(straight, call) || (tree_.has_sizes() && matches_resized(id, straight, call));
    } else {
      is_matched = matches(node, call) || (tree_.has_sizes() && matches_resized(id, node, call));
    }
    if (!is_matched) return false;
    hand_out(id, results);
    ++function_.stats().matched_ops;
    return true;
  }
  if (node.kind == TraceNode::Kind::apart) return take_apart(id, call, results);
  if (node.kind != TraceNode::Kind::number || !take_number(node, call, results)) return false;
  cursor_ = id;
  return true;
}

bool Frame::match_next_iteration(const OpCall& call, std::span<Tensor> results) {
  const TraceNode& last = tree_[cursor_];
  const WayPosition::Level before = position_.levels[last.level];
  position_.go_on(tree_.loop(last.loop));
  if (match_node(last.next_iteration, call, results)) return true;
  position_.levels[last.level] = before;
  return false;
}

void Frame::note_trips() {
  const TraceNode& here = tree_[cursor_];
  if (here.loop != kNoLoop) tree_.set_size(tree_.loop(here.loop).trips, position_.levels[here.level].iteration);
}

StraightWay Frame::way() {
  if (mode_ == Mode::match) note_trips();
  return {tree_, segment_begin_, cursor_};
}

std::vector<PlacedNode> Frame::placed_nodes() {
  if (mode_ == Mode::match) note_trips();
  stop_counting();
  return calque::placed_nodes(tree_, segment_begin_, cursor_);
}

bool Frame::match(const OpCall& call, std::span<Tensor> results) {
  if (reads_row_numbers(call.op)) check_or_note(call);
  do {
    if (match_here(call, results)) return true;
  } while (go_on_elsewhere());
  if (mode_ != Mode::match) return false;  // what was pending failed
  check_or_note(call);
  start_recording(&call);
  return false;
}

bool Frame::go_on_elsewhere() {
  if (cursor_ != segment_begin_) return cut_here();
  const TraceId elsewhere = tree_[cursor_].goes_on_at;
  if (elsewhere == kNoTrace) return false;
  cursor_ = segment_begin_ = elsewhere;
  return true;
}

bool Frame::cut_here() {
  const TraceId end = find_end();
  if (end == kNoTrace || !tree_[end].is_cut) return false;
  note(kStepsDiffer);
  run_end(end);
  if (mode_ != Mode::match) return false;
  begin_segment(end);
  return true;
}

bool Frame::match_here(const OpCall& call, std::span<Tensor> results) {
  const TraceNode& here = tree_[cursor_];
  if (here.next_iteration != kNoTrace && match_next_iteration(call, results)) return true;
  const uint32_t loop = here.loop;
  for (TraceId id = here.first_child; id != kNoTrace; id = tree_[id].next_sibling) {
    if (loop != kNoLoop && tree_[id].loop != loop) note_trips();
    if (match_node(id, call, results)) return true;
  }
  return false;
}

void Frame::check_or_note(const OpCall& call) {
  try {
    check(call);
  } catch (...) {
    note(kAnOpFails);
    throw;
  }
}

void Frame::check(const OpCall& call) {
  std::vector<Type> types;
  for (const TensorImpl* input : call.inputs) types.push_back(input->type());
  Attributes attributes = call.attributes;
  infer(call.op, types, attributes);
  if (!reads_row_numbers(call.op) || call.inputs[1]->is_pending()) return;
  kernels::check_row_numbers(call.inputs[1]->view(), index_bound(call.op, types, attributes), row(call.op).name);
}

}  // namespace calque
