// Groups of nodes that become one node each: merging two keeps the graph of groups free of cycles.
#pragma once

#include <span>
#include <vector>

#include "ir/graph/graph.h"

namespace calque::passes {

using GroupId = uint32_t;

/// At first each node is a group of its own, with the id of the node. A topological order of the groups is
/// kept up to date by looking only at what lies between the two that are merged (Pearce, Kelly 2007).
class GroupOrder {
 public:
  explicit GroupOrder(const Graph& graph);

  GroupId group_of(NodeId node) const { return group_[node]; }
  /// Nodes of a group in topological order.
  std::span<const NodeId> members(GroupId group) const { return members_[group]; }
  /// Makes b part of a, unless a path from one to the other leads through a third group.
  bool try_merge(GroupId a, GroupId b);
  /// Groups in topological order.
  std::vector<GroupId> order() const;
  /// The nodes that read a result of a node; one that reads it twice is listed twice.
  std::span<const NodeId> users(NodeId node) const { return users_[node]; }

 private:
  static constexpr GroupId kGone = ~GroupId{0};
  bool follows_by_detour(GroupId first, GroupId last, std::vector<GroupId>& reached);

  std::vector<GroupId> group_;                // by node
  std::vector<std::vector<NodeId>> members_;  // by group
  std::vector<std::vector<NodeId>> users_;    // by node
  std::vector<GroupId> sequence_;             // groups in topological order, kGone where one was merged away
  std::vector<uint32_t> position_;            // by group: where in the sequence
  std::vector<bool> marked_;                  // by group; all false between calls
};

}  // namespace calque::passes
