// Follows each value and slot from its old number to its new one.
#include "compiler/renumber.h"

namespace calque {

namespace {

using Kind = TraceNode::Kind;

/// What an old number stands for now.
struct NewNumber {
  bool is_bound = false;   // else `record` says what is bound when it is used
  bool is_slot = true;
  uint32_t index = 0;
  SlotRecord record{};
};

SlotRecord record_of(const ResultRecord& made, bool is_of_this_call) {
  return {made.dtype, made.requires_grad, !made.requires_grad, is_of_this_call, made.shape, made.strides};
}

class Renumberer {
 public:
  void pass(const TraceNode& node) {
    for (const SlotRecord& slot : node.new_slots) slots_.push_back({.record = slot});
    if (node.kind != Kind::op) return;
    for (const ResultRecord& result : node.results) values_.push_back({.record = record_of(result, true)});
  }

  bool write(TraceNode node, bool is_apart) {
    first_new_slot_ = slots_.size();
    for (const SlotRecord& slot : node.new_slots) slots_.push_back({.record = slot});
    node.first_value = value_count_;
    node.first_slot = slot_count_;
    node.new_slots.clear();
    node.sizes = nullptr;  // which tell slots by their old numbers
    const bool is_written = is_apart || node.kind == Kind::apart ? stand_apart(node) : write_op(node);
    made_.push_back(std::move(node));
    return is_written;
  }

  std::vector<TraceNode> take() { return std::move(made_); }

 private:
  bool write_op(TraceNode& node) {
    const bool is_repeated = node.loop != kNoLoop;
    for (TraceOperand& operand : node.inputs)
      if (!write_operand(operand, node, is_repeated)) return false;
    if (node.kind != Kind::op) return true;
    for (size_t i = 0; i < node.results.size(); ++i) values_.push_back({true, false, value_count_++, {}});
    return true;
  }

  bool write_operand(TraceOperand& operand, TraceNode& node, bool is_repeated) {
    std::vector<NewNumber>& places = operand.is_slot ? slots_ : values_;
    if (operand.index >= places.size()) return false;
    NewNumber& place = places[operand.index];
    if (!place.is_bound) {
      const bool is_new = operand.is_slot && operand.index >= first_new_slot_;
      if (is_repeated && !is_new) return false;
      place.is_bound = true;
      place.index = slot_count_++;
      node.new_slots.push_back(place.record);
    }
    const bool moves = operand.stride != 0 || operand.run != 0;
    if (moves && place.is_slot != operand.is_slot) return false;
    operand.index = place.index;
    operand.is_slot = place.is_slot;
    return true;
  }

  bool stand_apart(TraceNode& node) {
    if (node.kind == Kind::op) {
      if (node.loop != kNoLoop) return false;
      for (const TraceOperand& operand : node.inputs)
        if (!operand.is_slot && !values_[operand.index].is_slot) return false;
      for (const ResultRecord& result : node.results) {
        node.new_slots.push_back(record_of(result, false));
        values_.push_back({true, true, slot_count_++, {}});
      }
    } else {
      for (size_t i = first_new_slot_; i < slots_.size(); ++i) {
        node.new_slots.push_back(slots_[i].record);
        slots_[i] = {true, true, slot_count_++, {}};
      }
    }
    node.kind = Kind::apart;
    node.inputs.clear();
    return true;
  }

  std::vector<NewNumber> values_, slots_;  // by old number
  uint32_t value_count_ = 0, slot_count_ = 0;
  size_t first_new_slot_ = 0;          // of the node that is written
  std::vector<TraceNode> made_;
};

}  // namespace

bool may_stand_apart(const TraceNode& node) {
  return node.op == Op::full || row(node.op).kind == OpKind::view;
}

std::optional<std::vector<TraceNode>> renumbered(std::span<const TraceNode> segment, size_t first, const std::vector<bool>& is_apart) {
  Renumberer renumberer;
  for (size_t i = 0; i < first; ++i) renumberer.pass(segment[i]);
  for (size_t i = first; i < segment.size(); ++i)
    if (!renumberer.write(segment[i], is_apart[i])) return std::nullopt;
  return renumberer.take();
}

}  // namespace calque
