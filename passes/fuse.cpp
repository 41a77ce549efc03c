// Builds the fusion nodes of the groups that were found.
#include "passes/fuse.h"

#include <algorithm>
#include <unordered_map>
#include <utility>

#include "passes/fusion_groups.h"
#include "passes/rewriter.h"

namespace calque::passes {

namespace {

constexpr ValueId kUnmapped = ~ValueId{0};

class FusionBuilder {
 public:
  explicit FusionBuilder(const Graph& graph)
      : graph_(graph), rewrite_(graph), in_group_(graph.nodes().size()) {
    readers_.resize(graph.value_count());
    for (NodeId id = 0; id < graph.nodes().size(); ++id)
      for (ValueId input : graph.node(id).inputs) readers_[input].push_back(id);
    is_output_.resize(graph.value_count());
    for (ValueId output : graph.outputs()) is_output_[output] = true;
  }

  Graph build() {
    for (const FusionGroup& group : find_fusion_groups(graph_)) {
      if (group.fused)
        add_fusion(group);
      else if (fusion_role(graph_, graph_.node(group.nodes[0])) != FusionRole::constant)
        add_node(group.nodes[0]);
    }
    for (ValueId output : graph_.outputs()) outside(output);
    return rewrite_.finish();
  }

 private:
  bool is_constant(ValueId value) const {
    return !graph_.is_input(value) &&
           fusion_role(graph_, graph_.node(graph_.producer(value))) == FusionRole::constant;
  }
  bool made_inside(ValueId value) const {
    return !graph_.is_input(value) && in_group_[graph_.producer(value)];
  }

  /// The value as nodes outside of fusions see it; a constant is made where it is first read.
  ValueId outside(ValueId value) {
    if (rewrite_(value) == kUnmapped && is_constant(value))
      rewrite_.copy(graph_.node(graph_.producer(value)));
    return rewrite_(value);
  }

  /// A node that stays. Repeating a constant is making it larger.
  void add_node(NodeId id) {
    const Node& node = graph_.node(id);
    if (node.op == Op::expand && is_constant(node.inputs[0])) {
      const Node& constant = graph_.node(graph_.producer(node.inputs[0]));
      if (constant.op == Op::full) {
        const Type& type = graph_.type(node.result());
        const Attributes attributes =
            Attributes::of(constant.attributes.number(0), type.dtype, Ints(type.shape));
        rewrite_.set(node.result(), rewrite_.add(Op::full, {}, attributes, node.location));
        return;
      }
    }
    for (ValueId input : node.inputs) outside(input);
    rewrite_.copy(node);
  }

  bool read_outside(ValueId value) const {
    return is_output_[value] ||
           std::ranges::any_of(readers_[value], [&](NodeId id) { return !in_group_[id]; });
  }

  /// What the group gives, and the views that are better taken outside, of something that is there anyway.
  void find_results(const FusionGroup& group, std::vector<ValueId>& results,
                    std::vector<NodeId>& views) const {
    for (NodeId id : group.nodes) {
      const Node& node = graph_.node(id);
      const ValueId base = node.inputs[0];
      const bool base_is_there = !made_inside(base) || std::ranges::count(results, base) ||
                                 std::ranges::count(views, graph_.producer(base));
      const bool view = base_is_there && fusion_role(graph_, node) == FusionRole::view;
      bool listed = false;
      for (uint32_t i = 0; i < node.result_count; ++i) {
        if (!read_outside(node.result(i))) continue;
        if (!view)
          results.push_back(node.result(i));
        else if (!std::exchange(listed, true))
          views.push_back(id);
      }
    }
  }

  std::vector<ValueId> find_operands(const FusionGroup& group) const {
    std::vector<ValueId> operands;
    for (NodeId id : group.nodes)
      for (ValueId input : graph_.node(id).inputs)
        if (!made_inside(input) && !is_constant(input) && !std::ranges::count(operands, input))
          operands.push_back(input);
    return operands;
  }

  Graph make_body(const FusionGroup& group, std::span<const ValueId> operands,
                  std::span<const ValueId> results) const {
    Graph body("body");
    std::unordered_map<ValueId, ValueId> map;
    for (ValueId operand : operands) map[operand] = body.add_input(graph_.type(operand));
    const auto copy = [&](const Node& node) {
      std::vector<ValueId> inputs;
      for (ValueId input : node.inputs) inputs.push_back(map.at(input));
      const Node& added = append_copy(body, node, inputs);
      for (uint32_t i = 0; i < node.result_count; ++i) map[node.result(i)] = added.result(i);
    };
    for (NodeId id : group.nodes) {
      for (ValueId input : graph_.node(id).inputs)
        if (!map.contains(input)) copy(graph_.node(graph_.producer(input)));  // a constant
      copy(graph_.node(id));
    }
    std::vector<ValueId> outputs;
    for (ValueId result : results) outputs.push_back(map.at(result));
    body.set_outputs(std::move(outputs));
    return body;
  }

  void add_fusion(const FusionGroup& group) {
    for (NodeId id : group.nodes) in_group_[id] = true;
    std::vector<ValueId> results, inputs;
    std::vector<NodeId> views;
    find_results(group, results, views);
    const std::vector<ValueId> operands = find_operands(group);
    for (ValueId operand : operands) inputs.push_back(outside(operand));
    const auto computes = [&](NodeId id) {
      return fusion_role(graph_, graph_.node(id)) == FusionRole::compute;
    };
    const auto first = std::ranges::find_if(group.nodes, computes);
    const void* location = graph_.node(first == group.nodes.end() ? group.nodes[0] : *first).location;
    const Node& fusion = rewrite_.graph().add_fusion(inputs, group.domain, group.rows, group.columns,
                                                     make_body(group, operands, results), location);
    for (size_t i = 0; i < results.size(); ++i)
      rewrite_.set(results[i], fusion.result(static_cast<uint32_t>(i)));
    for (NodeId id : group.nodes) in_group_[id] = false;
    for (NodeId id : views) add_node(id);
  }

  const Graph& graph_;
  Rewriter rewrite_;
  std::vector<std::vector<NodeId>> readers_;  // by value
  std::vector<bool> is_output_;               // by value
  std::vector<bool> in_group_;                // by node: in the group that is being built
};

}  // namespace

Graph fuse(const Graph& graph) { return FusionBuilder(graph).build(); }

}  // namespace calque::passes
