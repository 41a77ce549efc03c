// Merging groups under a topological order.
#include "passes/group_order.h"

#include <algorithm>
#include <numeric>

namespace calque::passes {

GroupOrder::GroupOrder(const Graph& graph)
    : group_(graph.nodes().size()),
      members_(group_.size()),
      users_(group_.size()),
      sequence_(group_.size()),
      position_(group_.size()),
      marked_(group_.size()) {
  std::iota(group_.begin(), group_.end(), 0);
  std::iota(sequence_.begin(), sequence_.end(), 0);
  std::iota(position_.begin(), position_.end(), 0);
  for (NodeId id = 0; id < group_.size(); ++id) {
    members_[id] = {id};
    for (ValueId input : graph.node(id).inputs)
      if (!graph.is_input(input)) users_[graph.producer(input)].push_back(id);
  }
}

/// Collects in `reached` the groups before `last` that depend on `first`; true if one of them leads to
/// `last`.
bool GroupOrder::follows_by_detour(GroupId first, GroupId last, std::vector<GroupId>& reached) {
  const auto visit = [&](GroupId from) {
    for (NodeId node : members_[from])
      for (NodeId user : users_[node]) {
        const GroupId to = group_[user];
        if (to == last && from != first) return true;
        if (to == first || marked_[to] || position_[to] >= position_[last]) continue;
        marked_[to] = true;
        reached.push_back(to);
      }
    return false;
  };
  bool detour = visit(first);
  for (size_t i = 0; i < reached.size() && !detour; ++i) detour = visit(reached[i]);
  return detour;
}

bool GroupOrder::try_merge(GroupId a, GroupId b) {
  if (a == b) return true;
  const GroupId first = position_[a] < position_[b] ? a : b, last = first == a ? b : a;
  std::vector<GroupId> reached;
  const bool detour = follows_by_detour(first, last, reached);
  if (!detour) {
    // Between the two: what does not depend on the first, then both as one, then what does.
    std::vector<GroupId> before, behind;
    for (uint32_t i = position_[first] + 1; i < position_[last]; ++i)
      if (sequence_[i] != kGone) (marked_[sequence_[i]] ? behind : before).push_back(sequence_[i]);
    uint32_t next = position_[first];
    const uint32_t end = position_[last] + 1;
    const auto place = [&](GroupId group) {
      sequence_[next] = group;
      position_[group] = next++;
    };
    std::ranges::for_each(before, place);
    place(a);
    std::ranges::for_each(behind, place);
    std::fill(sequence_.begin() + next, sequence_.begin() + end, kGone);

    for (NodeId node : members_[b]) group_[node] = a;
    std::vector<NodeId> merged;
    std::ranges::merge(members_[a], members_[b], std::back_inserter(merged));
    members_[a] = std::move(merged);
    members_[b].clear();
  }
  for (GroupId group : reached) marked_[group] = false;
  return !detour;
}

std::vector<GroupId> GroupOrder::order() const {
  std::vector<GroupId> groups;
  for (GroupId group : sequence_)
    if (group != kGone) groups.push_back(group);
  return groups;
}

}  // namespace calque::passes
