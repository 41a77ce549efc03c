// What repeats in an unrolled program: a run of nodes that is several iterations of one loop.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "ir/graph/graph.h"

namespace calque::passes {

/// Where an operand of a node of the loop comes from.
struct OperandOrigin {
  enum class Kind : uint8_t {
    same_iteration,  // result `result` of the node at `offset`
    carried,         // the same, `back` iterations before; in the first ones from outside
    invariant,       // one value from outside
    family,          // from outside, another one in each iteration
  };
  Kind kind;
  NodeId offset = 0;
  uint32_t result = 0;
  int64_t back = 0;
  bool operator==(const OperandOrigin&) const = default;
};

/// Nodes `first`, ..., first + period * length - 1 are `length` iterations of the same `period` nodes: equal ops, types and
/// attributes, operands of the same origin. Attributes of nodes marked `moved` differ, as do those of what they read from:
/// all that they read comes from outside.
struct Period {
  NodeId first = 0;
  size_t period = 0;
  int64_t length = 0;
  std::vector<std::vector<OperandOrigin>> origins;  // by node of an iteration and operand
  std::vector<bool> moved;                          // by node of an iteration

  NodeId node(int64_t iteration, NodeId offset) const {
    return first + static_cast<NodeId>(iteration * static_cast<int64_t>(period)) + offset;
  }
  NodeId end() const { return node(length, 0); }
};

/// The longest period among the nodes [begin, end) that is worth a loop: at least three iterations, of at least three nodes,
/// and with something carried. Steps that only work on a tensor of their own each are none. Of the places where an iteration
/// could begin, the one that carries the fewest bytes.
std::optional<Period> find_period(const Graph& graph, NodeId begin, NodeId end);

/// The same of steps that hand nothing on, and read, besides values of all, consecutive steps of one sequence each: at least eight
/// iterations, of at least one node that computes something.
std::optional<Period> find_independent_steps(const Graph& graph, NodeId begin, NodeId end);

/// A node with a result that has no room for one axis more, as a stacked value has; none where there is no such node.
std::optional<NodeId> node_of_full_rank(const Graph& graph, const Period& period);

/// Why nodes that go through the same ops several times in a row are no period.
enum class NoPeriod : uint8_t {
  few_nodes,      // in an iteration
  independent,    // nothing is carried, or only since an iteration is cut in the middle
  gradient,       // of values of one iteration
  operand_count,  // differs
  types,          // differ
  attributes,     // differ, and more than the step that is read of something outside depends on them
  origin,         // of an operand differs
  weight,         // another one each time
  rank,           // a stacked value would have too many axes
};
struct WhyNoPeriod {
  NoPeriod reason;
  NodeId node;  // that it is about
};
/// None where nothing speaks against a period among the `count` iterations from `first` on.
std::optional<WhyNoPeriod> why_no_period(const Graph& graph, NodeId first, size_t period, size_t count);

}  // namespace calque::passes
