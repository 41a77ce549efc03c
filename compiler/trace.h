// What was recorded of a function: a tree of ops. Each path from the root is one way that the function went.
//
// A path is cut into segments by `end` nodes: where the function returned, or where a value was needed (or something happened
// that cannot be deferred) in mid-call. A segment is what is compiled as one plan. Values and slots are numbered along a
// segment, so a branch goes on with the numbers of its trunk, and a segment means the same wherever it stands.
//
// Segments that come again in one call are recorded once: the `end` before them goes on where they begin.
//
// Iterations of a loop of the function that ask for the same are one list of nodes, whose last leads back to its head. What
// follows it, and the nodes of an iteration, count values from where the call is then: see WayPosition.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <memory>
#include <set>
#include <utility>
#include <vector>

#include "compiler/sizes.h"
#include "ir/op/op.h"
#include "runtime/strides.h"
#include "runtime/tensor_impl.h"

namespace calque {

class Segment;

using TraceId = uint32_t;
inline constexpr TraceId kNoTrace = ~0u;
inline constexpr uint32_t kNoLoop = ~0u;

/// How many loops a segment may go through.
inline constexpr int kMostLoops = 12;

/// What an operand was: value `index` made in this segment, or slot `index` of it (a tensor from elsewhere).
struct TraceOperand {
  uint32_t index;
  bool is_slot;
  uint8_t level = 0;     // of the position that `index` is counted from
  uint8_t run = 0;       // not 0: stands for as many operands as the loop of this level had iterations, and `more`
  int32_t more = 0;
  int32_t stride = 0;    // from one of them to the next; of a node of a loop, from one iteration to the next
  bool operator==(const TraceOperand&) const = default;
};

/// What must hold for a tensor that is bound to a slot: its type, layout and history.
struct SlotRecord {
  DType dtype;
  bool requires_grad;
  bool is_leaf;         // its gradient goes to .grad()
  bool is_of_this_call; // made in an earlier segment; not compared, for a plan takes whatever tensor it is given
  Shape shape;
  Strides strides;

  bool fits(const TensorImpl& tensor) const {
    return fits_but_for_sizes(tensor) && tensor.shape == shape &&
           std::equal(strides.begin(), strides.begin() + shape.rank(), tensor.strides.begin());
  }
  bool is_alike_but_for_sizes(const SlotRecord& other) const {
    return dtype == other.dtype && requires_grad == other.requires_grad && is_leaf == other.is_leaf &&
           shape.rank() == other.shape.rank();
  }
  bool fits_but_for_sizes(const TensorImpl& tensor) const {
    return tensor.dtype == dtype && tensor.shape.rank() == shape.rank() && tensor.requires_grad == requires_grad &&
           (tensor.producer.get() == nullptr) == is_leaf;
  }
};

/// What a word of an op's attributes is.
inline AttributeKind kind_of_word(Op op, int word) {
  const std::span<const AttributeSpec> specs = row(op).attributes;
  return specs[std::min(static_cast<size_t>(word), specs.size() - 1)].kind;
}

struct ResultRecord {
  DType dtype;
  bool requires_grad;
  Shape shape;
  Strides strides;
};

/// A slot some of whose sizes differ from call to call.
struct SizedSlot {
  uint32_t slot = 0;                                     // which of the node's new slots
  std::array<SizeSymbol, kMaxRank> dims;                 // kNoSize: always the recorded one
  bool is_dense = false;                                 // row-major whatever the sizes are
  std::vector<std::pair<int, SizeExpression>> strides;   // of some axes, where it is not
};

/// What follows from sizes in a node: its records hold what that was in the last call.
struct NodeSizes {
  std::vector<SizedWord> words;
  std::vector<SizedSlot> slots;
};

/// Iterations of so many nodes that were not kept; see LongLoop.
struct OmittedIterations {
  uint32_t period = 0;
  int64_t iterations = 0;
};

struct TraceNode {
  enum class Kind : uint8_t {
    root,
    op,
    number,  // a `full` whose value differs from call to call: run eagerly, its result is bound to a slot
    apart,   // an op on tensors from outside whose attributes differ each time: run eagerly, its results are bound to slots at once
    end,     // of a segment
  };
  Kind kind = Kind::root;
  Op op{};
  bool grad_enabled = true;
  bool has_runs = false;               // among its operands
  bool is_checked = false;             // in every call: elements of its operands may be an error
  uint8_t level = 0;                   // how many loops the segment entered up to here, this one included; of `end`: 0
  uint32_t generation = 0;             // of the sizes that the records hold; see TraceTree::generation
  Attributes attributes;
  const void* location = nullptr;
  std::vector<TraceOperand> inputs;
  std::vector<SlotRecord> new_slots;   // of operands that are bound here for the first time, in order
  std::vector<ResultRecord> results;
  uint32_t first_value = 0;            // values made before this node, within its segment
  uint32_t first_slot = 0;             // slots bound before it
  bool is_complete = false;            // of `root`: some call went all the way
  uint32_t sample = 0;                 // the sizes when the node was recorded
  std::shared_ptr<const NodeSizes> sizes;  // null: nothing of the attributes and new slots differs

  OmittedIterations omitted;           // before this node; none is left when loops were found

  uint32_t loop = kNoLoop;             // that it is a node of
  TraceId next_iteration = kNoTrace;   // of the last node of a loop: the head
  std::shared_ptr<const std::vector<int64_t>> steps;  // what each word of the attributes grows by per iteration; null: nothing

  bool grows_like(const TraceNode& other) const {
    return steps && other.steps ? *steps == *other.steps : steps == other.steps;
  }

  TraceId parent = kNoTrace, first_child = kNoTrace, next_sibling = kNoTrace;
  TraceId segment_begin = kNoTrace;    // of `end`: the root or end node before the segment
  std::shared_ptr<Segment> segment;    // of `end`
  const char* reason = nullptr;        // of `end`: why the segment ended there; null when the function returned
  TraceId goes_on_at = kNoTrace;       // of `end`: the root or end node whose segments may follow, too
  bool is_junction = false;            // of `root` and `end`: some `end` goes on here
  bool is_cut = false;                 // of `end`: the segment may end here though the function asks for more
  Op cut_op{};                         // of `root` and `end`: ways behind it are cut before this op of this line, if there is one
  const void* cut_location = nullptr;
};

/// Iterations of a loop of the function: `length` nodes from the head on. The first of them, which differ (they start from what
/// came before the loop), are ordinary nodes.
struct TraceLoop {
  TraceId head;
  uint32_t length;
  uint32_t values, slots;  // that one iteration makes and binds
  SizeSymbol trips;        // how often the last call went from its end to the head
  uint8_t level;           // of its nodes
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
  size_t op_count() const { return nodes_.size() - removed_ - std::max<size_t>(1, roots_.size()); }
  /// How many nodes have a sibling before them: ways that the function went beside its first.
  int branches() const { return branches_; }
  /// The nodes after `begin` up to `end`, in order.
  std::vector<TraceId> path(TraceId begin, TraceId end) const;
  /// The root or end node before this one.
  TraceId segment_before(TraceId id) const;
  /// The end of a segment behind this node; none where no segment ends there.
  TraceId end_after(TraceId id) const {
    TraceId end = nodes_[id].first_child;
    while (end != kNoTrace && nodes_[end].kind != TraceNode::Kind::end) end = nodes_[end].next_sibling;
    return end;
  }
  /// Removes a node and all that follows it. Their ids are not used again. Gives the segments that they closed.
  void remove(TraceId first, std::vector<std::shared_ptr<Segment>>& segments);
  /// Takes back, and gives, what was added from this node on: one way, behind the other children of its parent.
  std::vector<TraceNode> drop_way(TraceId first);

  /// Gives back the room of nodes that were dropped, where that is most of it.
  void shrink() {
    if (nodes_.capacity() > 2 * nodes_.size() + 1024) nodes_.shrink_to_fit();
  }

  const TraceLoop& loop(uint32_t index) const { return loops_[index]; }
  /// The loop that begins with this node; null where none does.
  const TraceLoop* loop_at(TraceId id) const {
    const uint32_t index = nodes_[id].loop;
    return index != kNoLoop && loops_[index].head == id ? &loops_[index] : nullptr;
  }
  /// Makes `length` nodes from `head` on, each the only child of the one before, a loop, which the last call went through so
  /// often.
  uint32_t add_loop(TraceLoop loop, int64_t trips);

  // Sizes that differ from call to call.
  bool has_sizes() const { return !sizes_.empty(); }
  /// The last value of every symbol.
  std::span<const int64_t> sizes() const { return sizes_; }
  /// Counts changes of sizes. A node of another generation may hold records of other sizes than the call has.
  uint32_t generation() const { return generation_; }
  void set_size(SizeSymbol symbol, int64_t value) {
    if (std::exchange(sizes_[symbol], value) != value) ++generation_;
  }
  /// A new symbol, for what was always `value` so far.
  SizeSymbol add_size(int64_t value);
  /// Nothing of what the records hold can be relied on.
  void renew() {
    ++generation_;
    ++revision_;
  }
  /// Counts changes of anything but the sizes of the last call.
  uint64_t revision() const { return revision_; }
  /// What a plan's program can be written from later: a copy without segments.
  std::shared_ptr<const TraceTree> snapshot() const;
  /// Keeps the values that all symbols have now.
  uint32_t take_sample();
  SizeSample sample(uint32_t index) const { return samples_[index]; }
  /// A `full` at this line had several values, which did not follow from sizes: it is recorded as a number from now on.
  void note_varying_number(const void* location) {
    if (location) varying_numbers_.insert(location);
  }
  bool is_varying_number(const void* location) const { return varying_numbers_.contains(location); }
  /// The op of this line stands apart in the steps of a loop over segments.
  void note_apart(const TraceNode& node) { apart_.emplace(node.op, node.location); }
  bool is_apart(Op op, const void* location) const { return apart_.contains({op, location}); }
  /// Also, whether a way that goes on behind `begin` is cut into steps, or in such a loop already.
  bool is_apart_behind(TraceId begin, Op op, const void* location) const;
  /// A tree without nodes but with these sizes.
  TraceTree with_sizes_only() const;
  /// The symbols that the segment which `end` closes binds or follows, with their last values: what its plans are kept by.
  BoundSizes bound_sizes(TraceId end) const;
  /// All that the way to this node binds.
  std::vector<SizeSymbol> symbols_on_way(TraceId id) const;

 private:
  static constexpr size_t kMostRoots = 16;
  std::vector<TraceNode> nodes_;
  std::vector<std::pair<uint64_t, TraceId>> roots_;
  int branches_ = 0;
  size_t removed_ = 0;  // nodes
  std::vector<int64_t> sizes_;
  uint32_t generation_ = 0;
  uint64_t revision_ = 0;
  std::vector<std::vector<int64_t>> samples_{{}};
  std::set<const void*> varying_numbers_;
  std::set<std::pair<Op, const void*>> apart_;
  std::vector<TraceLoop> loops_;
};

}  // namespace calque
