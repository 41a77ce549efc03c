// Grouping: producers with consumers as far as the domain reaches, then siblings that read the same memory.
#include "passes/fusion_groups.h"

#include <algorithm>
#include <map>
#include <set>
#include <tuple>
#include <utility>

namespace calque::passes {

namespace {

// Bounds of one fusion: on the time of code generation and the pressure on registers, and on what an executor
// passes.
constexpr size_t kMostGroupNodes = 256, kMostOperands = 192;

/// What a group under construction is.
struct Candidate {
  enum class Kind : uint8_t { single, rows, columns } kind = Kind::single;
  Footprint footprint;  // of rows; of columns, `rows` and `longest_row` are the reduced rows and the columns
};

class Grouping {
 public:
  explicit Grouping(const Graph& graph);

  void grow_columns();
  void merge_along_edges();
  void merge_siblings();
  void absorb_scalars();
  std::vector<FusionGroup> take();

 private:
  using Kind = Candidate::Kind;
  bool fits_together(GroupId a, GroupId b) const;
  bool share_rows(ValueId value, GroupId a, GroupId b) const;
  bool merge_rows(GroupId a, GroupId b);
  void merge_columns(GroupId a, GroupId b);
  void merge_column_siblings();
  bool reads(GroupId group, GroupId other) const;
  std::pair<bool, uint32_t> source_of(GroupId group) const;
  bool joins_columns(NodeId id, GroupId group) const;
  bool only_scalars(GroupId group) const;
  FusionGroup finish(GroupId group, std::vector<NodeId>& left_over) const;
  bool prefers_rows(std::span<const NodeId> nodes) const;
  bool gives_all(std::span<const NodeId> nodes, int64_t elements) const;
  GroupId producer_group(ValueId value) const { return groups_.group_of(graph_.producer(value)); }

  const Graph& graph_;
  GroupOrder groups_;
  std::vector<FusionRole> roles_;      // by node
  std::vector<bool> is_output_;        // by value
  std::vector<Candidate> candidates_;  // by group
};

Grouping::Grouping(const Graph& graph)
    : graph_(graph), groups_(graph), is_output_(graph.value_count()), candidates_(graph.nodes().size()) {
  for (ValueId output : graph.outputs()) is_output_[output] = true;
  for (NodeId id = 0; id < graph.nodes().size(); ++id) {
    const Node& node = graph.node(id);
    roles_.push_back(fusion_role(graph, node));
    if (roles_[id] == FusionRole::compute || roles_[id] == FusionRole::view)
      candidates_[id] = {Kind::rows, footprint(graph, node)};
    if (!reduces_columns(graph, node)) continue;
    const Shape& shape = graph.type(node.inputs[0]).shape;
    candidates_[id] = {Kind::columns, {shape[0], shape[1], 0}};
  }
}

/// A value in a domain of columns: whole, one row, one column, or one element.
bool fits_columns(const Shape& shape, const Footprint& domain) {
  if (shape.element_count() == 1) return true;
  if (shape.rank() == 1) return shape[0] == domain.longest_row;
  return shape.rank() == 2 && (shape[0] == domain.rows || shape[0] == 1) &&
         (shape[1] == domain.longest_row || shape[1] == 1);
}

/// Whether a node that only this group of columns reads is better computed in it: if at most one of its
/// operands would have to be written by another fusion first, which is no more memory than its result.
bool Grouping::joins_columns(NodeId id, GroupId group) const {
  const Node& node = graph_.node(id);
  const Footprint& domain = candidates_[group].footprint;
  if (row(node.op).kind != OpKind::elementwise && node.op != Op::expand) return false;
  if (is_output_[node.result()] || !fits_columns(graph_.type(node.result()).shape, domain)) return false;
  if (graph_.type(node.result()).shape.element_count() == 1) return false;
  std::set<ValueId> written_first;
  for (ValueId input : node.inputs) {
    const Shape& shape = graph_.type(input).shape;
    if (!fits_columns(shape, domain)) return false;
    const bool whole = shape.element_count() == domain.rows * domain.longest_row;
    if (whole && !graph_.is_input(input) && roles_[graph_.producer(input)] == FusionRole::compute)
      written_first.insert(input);
  }
  return written_first.size() <= 1;
}

void Grouping::grow_columns() {
  for (NodeId id = static_cast<NodeId>(roles_.size()); id-- > 0;) {
    const std::span<const NodeId> users = groups_.users(id);
    if (users.empty() || candidates_[id].kind != Kind::rows) continue;
    const GroupId group = groups_.group_of(users[0]);
    const bool alone =
        std::ranges::all_of(users, [&](NodeId user) { return groups_.group_of(user) == group; });
    if (alone && candidates_[group].kind == Kind::columns && joins_columns(id, group))
      merge_columns(group, id);
  }
}

/// Whether one fusion of both keeps the bounds; `operands` bounds what it reads and gives from above.
bool Grouping::fits_together(GroupId a, GroupId b) const {
  size_t nodes = 0, operands = 0;
  for (GroupId group : {a, b})
    for (NodeId id : groups_.members(group)) {
      const Node& node = graph_.node(id);
      ++nodes;
      for (ValueId input : node.inputs)
        if (graph_.is_input(input) || (producer_group(input) != a && producer_group(input) != b)) ++operands;
      for (NodeId user : groups_.users(id))
        if (groups_.group_of(user) != a && groups_.group_of(user) != b) ++operands;
      for (uint32_t i = 0; i < node.result_count; ++i) operands += is_output_[node.result(i)];
    }
  return nodes <= kMostGroupNodes && operands <= kMostOperands;
}

bool Grouping::merge_rows(GroupId a, GroupId b) {
  if (a == b || candidates_[a].kind != Kind::rows || candidates_[b].kind != Kind::rows) return false;
  const Footprint both = joined(candidates_[a].footprint, candidates_[b].footprint);
  if (both.rows == 0 || !fits_together(a, b) || !groups_.try_merge(a, b)) return false;
  candidates_[a].footprint = both;
  return true;
}

void Grouping::merge_columns(GroupId a, GroupId b) {
  if (fits_together(a, b)) groups_.try_merge(a, b);
}

/// Whether two groups that share a value have more in common than its one column: else each stays with rows of one length, which code
/// for rows of any length asks for (see kernel_abi.h).
bool Grouping::share_rows(ValueId value, GroupId a, GroupId b) const {
  const int64_t longest_a = candidates_[a].footprint.longest_row, longest_b = candidates_[b].footprint.longest_row;
  return longest_a == longest_b || longest_a == 1 || longest_b == 1 || row_length(graph_.type(value).shape) > 1;
}

void Grouping::merge_along_edges() {
  for (NodeId id = 0; id < roles_.size(); ++id)
    for (ValueId input : graph_.node(id).inputs) {
      if (graph_.is_input(input)) continue;
      const GroupId producer = producer_group(input), reader = groups_.group_of(id);
      if (share_rows(input, producer, reader)) merge_rows(producer, reader);
    }
}

/// Groups that read the same value whole read it once; sums over the columns of one fusion's results run as
/// one as well.
void Grouping::merge_siblings() {
  std::vector<std::vector<NodeId>> readers(graph_.value_count());
  for (NodeId id = 0; id < roles_.size(); ++id)
    for (ValueId input : graph_.node(id).inputs) readers[input].push_back(id);
  for (ValueId value = 0; value < readers.size(); ++value) {
    const Shape& shape = graph_.type(value).shape;
    if (shape.element_count() == 1) continue;
    const NodeId* first = nullptr;
    for (const NodeId& reader : readers[value]) {
      const Candidate& candidate = candidates_[groups_.group_of(reader)];
      if (candidate.kind != Kind::rows || candidate.footprint.rows != rows_of(shape)) continue;
      if (first)
        merge_rows(groups_.group_of(*first), groups_.group_of(reader));
      else
        first = &reader;
    }
  }
  merge_column_siblings();
}

void Grouping::merge_column_siblings() {
  using Key = std::tuple<bool, uint32_t, int64_t, int64_t>;
  std::map<Key, GroupId> first;
  for (GroupId group : groups_.order()) {
    if (candidates_[group].kind != Kind::columns) continue;
    const auto [from_input, source] = source_of(group);
    const Footprint& domain = candidates_[group].footprint;
    const auto [known, is_new] =
        first.try_emplace({from_input, source, domain.rows, domain.longest_row}, group);
    if (is_new) continue;
    // A sum over what depends on another sum needs a second walk over the rows.
    if (reads(group, known->second) || reads(known->second, group))
      known->second = group;
    else
      merge_columns(known->second, group);
  }
}

/// Whether a node of the group reads a result of the other.
bool Grouping::reads(GroupId group, GroupId other) const {
  return std::ranges::any_of(groups_.members(other), [&](NodeId id) {
    return std::ranges::any_of(groups_.users(id),
                               [&](NodeId user) { return groups_.group_of(user) == group; });
  });
}

/// What the first operand of a group comes from: an input of the graph, or another group.
std::pair<bool, uint32_t> Grouping::source_of(GroupId group) const {
  for (NodeId id : groups_.members(group))
    for (ValueId input : graph_.node(id).inputs) {
      if (graph_.is_input(input)) return {true, input};
      if (producer_group(input) != group && roles_[graph_.producer(input)] != FusionRole::constant)
        return {false, producer_group(input)};
    }
  return {true, ~ValueId{0}};
}

bool Grouping::only_scalars(GroupId group) const {
  return std::ranges::all_of(groups_.members(group), [&](NodeId id) {
    const Node& node = graph_.node(id);
    const OpKind kind = row(node.op).kind;
    return (kind == OpKind::elementwise || kind == OpKind::view) && node.result_count == 1 &&
           graph_.type(node.result()).shape.element_count() == 1 && !is_output_[node.result()];
  });
}

/// A few ops on single elements that one fusion reads are computed in it.
void Grouping::absorb_scalars() {
  constexpr size_t kFew = 4;
  for (GroupId group : groups_.order()) {
    const std::span<const NodeId> nodes = groups_.members(group);
    if (candidates_[group].kind != Kind::rows || nodes.size() > kFew || !only_scalars(group)) continue;
    GroupId reader = group;
    bool alone = true;
    for (NodeId id : nodes)
      for (NodeId user : groups_.users(id)) {
        const GroupId next = groups_.group_of(user);
        if (next == group) continue;
        alone = alone && (reader == group || reader == next);
        reader = next;
      }
    if (alone && reader != group && candidates_[reader].kind == Kind::rows && fits_together(reader, group))
      groups_.try_merge(reader, group);
  }
}

/// Whether an operand comes from a view with gaps between its rows, which a flat walk would have to copy.
bool Grouping::prefers_rows(std::span<const NodeId> nodes) const {
  for (NodeId id : nodes)
    for (ValueId input : graph_.node(id).inputs) {
      if (graph_.is_input(input)) continue;
      const Node& made = graph_.node(graph_.producer(input));
      if (std::ranges::binary_search(nodes, graph_.producer(input)) ||
          (made.op != Op::slice && made.op != Op::split))
        continue;
      const int64_t axis = made.attributes[made.op == Op::split ? 1 : 0];
      if (axis > 0 && axis == graph_.type(input).shape.rank() - 1) return true;
    }
  return false;
}

/// Whether each result of a group has all elements.
bool Grouping::gives_all(std::span<const NodeId> nodes, int64_t elements) const {
  return std::ranges::all_of(nodes, [&](NodeId id) {
    const ValueId value = graph_.node(id).result();
    const bool given = is_output_[value] || std::ranges::any_of(groups_.users(id), [&](NodeId user) {
                         return !std::ranges::binary_search(nodes, user);
                       });
    return !given || graph_.type(value).shape.element_count() == elements;
  });
}

/// Views at the end of a group are free outside of it, and a group of views alone is none.
FusionGroup Grouping::finish(GroupId group, std::vector<NodeId>& left_over) const {
  const Candidate& candidate = candidates_[group];
  std::vector<NodeId> nodes(groups_.members(group).begin(), groups_.members(group).end());
  if (candidate.kind == Kind::single || roles_[nodes[0]] == FusionRole::constant)
    return {false, Domain::rows, 1, 1, std::move(nodes)};
  const Footprint& domain = candidate.footprint;
  if (candidate.kind == Kind::columns)
    return {true, Domain::columns, domain.rows, domain.longest_row, std::move(nodes)};

  for (size_t i = nodes.size(); i-- > 0;) {
    const bool read = std::ranges::any_of(groups_.users(nodes[i]),
                                          [&](NodeId user) { return std::ranges::count(nodes, user) > 0; });
    if (roles_[nodes[i]] != FusionRole::view || read) continue;
    left_over.push_back(nodes[i]);
    nodes.erase(nodes.begin() + static_cast<std::ptrdiff_t>(i));
  }
  std::ranges::reverse(left_over);
  if (nodes.empty()) return {};
  Footprint kept;
  kept.rows = domain.rows;
  for (NodeId id : nodes) {
    Footprint node = footprint(graph_, graph_.node(id));
    node.rows = domain.rows;
    kept = joined(kept, node);
    kept.rows = domain.rows;
  }
  const bool flat = kept.flat_elements > 0 && !prefers_rows(nodes) && gives_all(nodes, kept.flat_elements);
  if (flat) return {true, Domain::flat, 1, kept.flat_elements, std::move(nodes)};
  return {true, Domain::rows, kept.rows, kept.longest_row, std::move(nodes)};
}

std::vector<FusionGroup> Grouping::take() {
  std::vector<FusionGroup> result;
  for (GroupId group : groups_.order()) {
    std::vector<NodeId> left_over;
    if (FusionGroup finished = finish(group, left_over); !finished.nodes.empty())
      result.push_back(std::move(finished));
    for (NodeId id : left_over) result.push_back({false, Domain::rows, 1, 1, {id}});
  }
  return result;
}

}  // namespace

std::vector<FusionGroup> find_fusion_groups(const Graph& graph) {
  Grouping grouping(graph);
  grouping.grow_columns();
  grouping.merge_along_edges();
  grouping.merge_siblings();
  grouping.absorb_scalars();
  return grouping.take();
}

}  // namespace calque::passes
