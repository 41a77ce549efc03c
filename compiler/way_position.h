// Where a call is on its way: how far the loops that it went through move the numbers of values and slots.
#pragma once

#include <array>
#include <optional>

#include "compiler/trace.h"

namespace calque {

/// Level 0 is a segment before its first loop. The nodes of the first loop and all that follows it, up to the second one, are of
/// level 1; their recorded numbers are those of a call that enters the loop and never goes from its end to its head.
struct WayPosition {
  struct Level {
    uint32_t values, slots;  // to be added to what is recorded
    int64_t iteration;       // of the loop
  };
  std::array<Level, kMostLoops + 1> levels;

  WayPosition() { levels[0] = {0, 0, 0}; }
  void enter(int level) { levels[level] = {levels[level - 1].values, levels[level - 1].slots, 0}; }
  /// The head is reached again, `times` times.
  void go_on(const TraceLoop& loop, int64_t times = 1) {
    levels[loop.level].values += static_cast<uint32_t>(times) * loop.values;
    levels[loop.level].slots += static_cast<uint32_t>(times) * loop.slots;
    levels[loop.level].iteration += times;
  }
  /// The value or slot that an operand of a node of this level stands for, the first one of a run at level 0.
  uint32_t number(const TraceOperand& operand, int level) const {
    const Level& from = levels[operand.level];
    return operand.index + (operand.is_slot ? from.slots : from.values) +
           static_cast<uint32_t>(levels[level].iteration) * static_cast<uint32_t>(operand.stride);
  }
  /// `first_value`: what the call numbers the first value of the segment with.
  void begin_segment(uint32_t first_value) { levels[0] = {first_value, 0, 0}; }
};

/// What the attributes of a node of a loop, given as those of its first iteration, are in a later one.
Attributes attributes_in(const TraceNode& node, Attributes attributes, int64_t iteration);

/// The loops that the way from `begin` to `end` goes through, in order.
std::vector<TraceLoop> loops_on_way(const TraceTree& tree, TraceId begin, TraceId end);

/// The node as a way without loops would have it: numbers count from the beginning of the segment.
TraceNode unrolled(const TraceNode& node, const WayPosition& position);

/// The values and slots that a node makes and binds in a call, in all iterations of its loop.
struct PlacedNode {
  TraceId id;
  uint32_t first_value, first_slot;    // of its first iteration
  uint32_t value_stride, slot_stride;  // to the next one
  int64_t iterations;                  // 1 outside of loops
  bool makes(uint32_t value, size_t results) const { return contains(value, first_value, value_stride, results); }
  /// Which of its new slots this is.
  std::optional<uint32_t> place_of_slot(uint32_t slot, size_t new_slots) const {
    if (!contains(slot, first_slot, slot_stride, new_slots)) return std::nullopt;
    return offset(slot, first_slot, slot_stride);
  }

 private:
  uint32_t offset(uint32_t number, uint32_t first, uint32_t stride) const {
    return stride == 0 ? number - first : (number - first) % stride;
  }
  bool contains(uint32_t number, uint32_t first, uint32_t stride, size_t count) const {
    return number >= first && (stride == 0 || (number - first) / stride < iterations) && offset(number, first, stride) < count;
  }
};

/// The nodes after `begin`, where a segment begins, up to `end`, each once; loops had the iterations of the last call.
std::vector<PlacedNode> placed_nodes(const TraceTree& tree, TraceId begin, TraceId end);

/// A way in which every iteration has its own nodes, to be run or compiled. Loops have the iterations of the last call. Of a
/// way without loops this is the tree itself.
class StraightWay {
 public:
  /// The nodes after `begin`, where a segment begins, up to `end`.
  StraightWay(const TraceTree& tree, TraceId begin, TraceId end);

  const TraceTree& tree() const { return *tree_; }
  TraceId begin() const { return begin_; }
  TraceId end() const { return end_; }
  std::vector<TraceId> path() const { return tree_->path(begin_, end_); }

 private:
  void write(const TraceTree& tree, std::span<const TraceId> ids);
  void write_node(const TraceNode& node, TraceId id, const WayPosition& position);

  std::unique_ptr<TraceTree> straight_;
  const TraceTree* tree_;
  TraceId begin_, end_;
  std::vector<std::pair<TraceId, TraceId>> ends_;  // of segments: before, now
};

}  // namespace calque
