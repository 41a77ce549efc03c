// What was recorded of a function: a tree of ops. Each path from the root is one way that the function went.
//
// Values and slots are numbered along a path, so a branch goes on with the numbers of its trunk. A path is cut into
// segments by `end` nodes: where the function returned, or where a value was needed (or something happened that cannot be
// deferred) in mid-call. A segment is what is compiled as one plan.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "ir/op/op.h"
#include "runtime/tensor_impl.h"

namespace calque {

class Segment;

using TraceId = uint32_t;
inline constexpr TraceId kNoTrace = ~0u;

/// What an operand was: value `index` made in this segment, or slot `index` of it (a tensor from elsewhere).
struct TraceOperand {
  uint32_t index;
  bool is_slot;
};

/// What must hold for a tensor that is bound to a slot: its type and layout, and where it came from.
struct SlotRecord {
  static constexpr uint32_t kOutside = ~0u;

  DType dtype;
  bool requires_grad;
  bool is_leaf;            // its gradient goes to .grad()
  uint32_t origin;         // value of an earlier segment of this call, or kOutside
  Shape shape;
  std::array<int64_t, kMaxRank> strides;

  bool fits(const TensorImpl& tensor, uint32_t actual_origin) const;
};

struct ResultRecord {
  DType dtype;
  bool requires_grad;
  Shape shape;
  std::array<int64_t, kMaxRank> strides;
};

struct TraceNode {
  enum class Kind : uint8_t {
    root,
    op,
    number,  // a `full` whose value differs from call to call: run eagerly, its result is bound to a slot
    end,     // of a segment
  };
  Kind kind = Kind::root;
  Op op{};
  bool grad_enabled = true;
  Attributes attributes;
  const void* location = nullptr;
  std::vector<TraceOperand> inputs;
  std::vector<SlotRecord> new_slots;   // of operands that are bound here for the first time, in order
  std::vector<ResultRecord> results;
  uint32_t first_value = 0;            // along the path; of `end`: of the segment that follows
  uint32_t first_slot = 0;             // slots bound before this node, within its segment
  bool is_complete = false;            // of `root`: some call went all the way

  TraceId parent = kNoTrace, first_child = kNoTrace, next_sibling = kNoTrace;
  TraceId segment_begin = kNoTrace;    // of `end`: the root or end node before the segment
  std::shared_ptr<Segment> segment;    // of `end`
  const char* reason = nullptr;        // of `end`: why the segment ended there; null when the function returned
};

class TraceTree {
 public:
  TraceTree() { nodes_.emplace_back(); }
  TraceNode& operator[](TraceId id) { return nodes_[id]; }
  const TraceNode& operator[](TraceId id) const { return nodes_[id]; }
  size_t size() const { return nodes_.size(); }
  /// The root for calls in these modes (recording of gradients, training, ...): ways in one mode are not compared with those
  /// in another. Past kMostRoots the modes share the first one.
  TraceId root(uint64_t modes);
  /// Adds a child after its siblings. References to nodes are void afterwards.
  TraceId add(TraceId parent, TraceNode node);
  /// Recorded ops of all ways.
  size_t op_count() const { return nodes_.size() - std::max<size_t>(1, roots_.size()); }
  /// How many nodes have a sibling before them: ways that the function went beside its first.
  int branches() const { return branches_; }
  /// The nodes after `begin` up to `end`, in order.
  std::vector<TraceId> path(TraceId begin, TraceId end) const;

 private:
  static constexpr size_t kMostRoots = 16;
  std::vector<TraceNode> nodes_;
  std::vector<std::pair<uint64_t, TraceId>> roots_;
  int branches_ = 0;
};

}  // namespace calque
