// From a path of the trace to a graph, with what must be known of its inputs and of the values that the user holds.
#pragma once

#include <span>
#include <vector>

#include "compiler/trace.h"
#include "ir/graph/graph.h"

namespace calque {

/// One step from a base to a view of it.
struct ViewStep {
  Op op;
  Attributes attributes;
  int index;       // which result of the op
  Type type;
  ValueId value;   // what it gives, in the graph
  bool recorded;   // not made while gradients were off
};

/// Numbers of slots or values, one of each iteration of a loop, in order.
using Steps = std::vector<uint32_t>;

/// What an input of the graph is: a slot, or the slots of all `steps` as one tensor, with a first axis of steps.
struct SlotSource {
  uint32_t slot;
  Steps steps{};
};

/// A value that somebody holds when the segment ends, and how to make it: the root it is a view of (itself, if it is none),
/// and the views in between. Aliases are made again as eager execution made them.
struct HeldValue {
  uint32_t value;              // number on the path, from the segment's first
  bool requires_grad;
  bool root_is_slot;
  int root;                    // slot, or index into `roots`
  ValueId id, root_id;         // of both in the graph
  bool connects;               // writes in place through the view reach the history of its root, and the other way
  std::vector<ViewStep> views;
  Steps steps{};               // not empty: stands for all these values, as one output with a first axis of steps
};

struct SegmentGraph {
  /// Inputs: the slots (or sequences of them), then padding: where loops run less often than when the way was recorded, that is put
  /// behind what their steps are joined to, and all that follows is as it was. Outputs: the held values in order, then the roots that are not held themselves.
  Graph graph;
  std::vector<SlotRecord> slots;
  std::vector<SlotSource> sources;  // of these inputs
  std::vector<HeldValue> held;
  /// Positions among the graph's outputs of the values that must be computed.
  std::vector<int> roots;

  /// Of all values that the program gives, ascending; also of those that are steps of one output.
  std::vector<uint32_t> held_numbers() const;
  std::vector<bool> input_requires_grad() const;
  std::vector<bool> output_has_gradient() const;
};

/// What stands for the source line of a node: the line, or the op's place in the tree, to find it again after the passes.
enum class NodeLocations : uint8_t { lines, marks };

/// `held`: numbers of the values held, ascending, from the segment's first. A root with a gradient that several of them are
/// views of becomes held too, so that a write in place has its history to go on from. `name` becomes the graph's, made an
/// identifier.
SegmentGraph make_segment_graph(const TraceTree& tree, TraceId begin, TraceId end, std::span<const uint32_t> held,
                                const std::string& name, NodeLocations locations = NodeLocations::lines);

}  // namespace calque
