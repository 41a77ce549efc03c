// Groups products, and sums of two, by what stands on their left.
#include "passes/loops/join_products.h"

#include <algorithm>
#include <map>

#include "passes/loops/blocks.h"
#include "passes/rewriter.h"

namespace calque::passes {

namespace {

constexpr int64_t kMostElements = 32 * 1024;  // of the matrices of one joined product

/// A product, or a sum of two that nothing else reads.
struct Unit {
  NodeId node;
  std::vector<NodeId> products;
};

class Joiner {
 public:
  Joiner(const Graph& body, const LoopForm& form)
      : body_(body), rewrite_(body), uses_(body.use_counts()), is_constant_(body.value_count()), unit_of_(body.nodes().size()) {
    for (size_t i = form.carried + form.scanned; i < body.inputs().size(); ++i) is_constant_[body.inputs()[i]] = true;
  }

  Graph run() {
    for (const Node& node : body_.nodes()) {
      const bool constant = !node.body && std::ranges::all_of(node.inputs, [&](ValueId input) { return is_constant_[input]; });
      for (uint32_t i = 0; i < node.result_count; ++i) is_constant_[node.result(i)] = constant;
    }
    group();
    if (groups_.empty()) return body_;
    // What is the same in all steps comes first, so that matrices can be put side by side at the first product.
    for (const Node& node : body_.nodes())
      if (is_constant_[node.result()]) rewrite_.copy(node);
    for (NodeId id = 0; id < body_.nodes().size(); ++id)
      if (!is_constant_[body_.node(id).result()]) write(id);
    return rewrite_.finish();
  }

 private:
  using Group = std::vector<Unit>;

  /// Of a matrix that differs from step to step with one that does not.
  bool is_product(const Node& node) const {
    return node.op == Op::matmul && body_.type(node.inputs[0]).shape.rank() == 2 && body_.type(node.inputs[1]).shape.rank() == 2 &&
           !is_constant_[node.inputs[0]] && is_constant_[node.inputs[1]];
  }
  std::optional<NodeId> only_used_product(ValueId value) const {
    if (body_.is_input(value) || uses_[value] != 1 || !is_product(body_.node(body_.producer(value)))) return std::nullopt;
    return body_.producer(value);
  }

  std::optional<Unit> sum_of_two(const Node& node) const {
    if (node.op != Op::add || body_.type(node.inputs[0]) != body_.type(node.inputs[1])) return std::nullopt;
    const std::optional<NodeId> first = only_used_product(node.inputs[0]), second = only_used_product(node.inputs[1]);
    if (!first || !second) return std::nullopt;
    return Unit{body_.producer(node.result()), {*first, *second}};
  }

  /// Sums first; then the products that are in none of these groups.
  void group() {
    std::map<std::vector<ValueId>, Group> by_left;
    for (const Node& node : body_.nodes())
      if (std::optional<Unit> sum = sum_of_two(node)) by_left[left_of(*sum)].push_back(std::move(*sum));
    keep(std::move(by_left));
    by_left.clear();
    for (NodeId id = 0; id < body_.nodes().size(); ++id)
      if (is_product(body_.node(id)) && unit_of_[id] == 0) by_left[left_of({id, {id}})].push_back({id, {id}});
    keep(std::move(by_left));
  }
  std::vector<ValueId> left_of(const Unit& unit) const {
    std::vector<ValueId> left;
    for (NodeId product : unit.products) left.push_back(body_.node(product).inputs[0]);
    return left;
  }
  void keep(std::map<std::vector<ValueId>, Group> by_left) {
    for (auto& [left, units] : by_left) {
      if (units.size() < 2 || elements_of(units) > kMostElements) continue;
      groups_.push_back(std::move(units));
      for (const Unit& unit : groups_.back()) {
        for (NodeId product : unit.products) unit_of_[product] = kPartOfUnit;
        unit_of_[unit.node] = groups_.size();
      }
    }
  }

  int64_t elements_of(const Group& units) const {
    int64_t count = 0;
    for (const Unit& unit : units)
      for (NodeId product : unit.products) count += body_.type(body_.node(product).inputs[1]).shape.element_count();
    return count;
  }

  void write(NodeId id) {
    if (unit_of_[id] == kPartOfUnit) return;
    if (unit_of_[id] == 0) return rewrite_.copy(body_.node(id));
    const Group& units = groups_[unit_of_[id] - 1];
    if (units.front().node != id) return;  // it is there already
    const void* const location = body_.node(id).location;
    std::optional<ValueId> joined;
    for (size_t term = 0; term < units.front().products.size(); ++term) {
      std::vector<ValueId> matrices;
      for (const Unit& unit : units) matrices.push_back(rewrite_(body_.node(unit.products[term]).inputs[1]));
      const ValueId left = rewrite_(body_.node(units.front().products[term]).inputs[0]);
      const ValueId right = rewrite_.add(Op::concat, matrices, Attributes::of(int64_t{1}), location);
      const ValueId product = rewrite_.add(Op::matmul, std::vector{left, right}, {}, location);
      joined = joined ? rewrite_.add(Op::add, std::vector{*joined, product}, {}, location) : product;
    }
    int64_t column = 0;
    for (const Unit& unit : units) {
      const Node& node = body_.node(unit.node);
      const int64_t stop = column + body_.type(node.result()).shape.back();
      rewrite_.set(node.result(), rewrite_.add(Op::slice, std::vector{*joined}, Attributes::of(int64_t{1}, column, stop), node.location));
      column = stop;
    }
  }

  static constexpr size_t kPartOfUnit = ~size_t{0};
  const Graph& body_;
  Rewriter rewrite_;
  const std::vector<uint32_t> uses_;
  std::vector<bool> is_constant_;  // by value: the same in all steps
  std::vector<Group> groups_;
  std::vector<size_t> unit_of_;    // by node: the group that it is a unit of, from 1 on
};

}  // namespace

Graph join_products(const Graph& graph) {
  if (!has_loops(graph)) return graph;
  Rewriter rewrite(graph);
  for (const Node& node : graph.nodes()) {
    Node changed = node;
    if (node.op == Op::loop)
      changed.body = std::make_shared<const Graph>(Joiner(join_products(*node.body), LoopForm::of(node.attributes)).run());
    rewrite.copy(changed);
  }
  return rewrite.finish();
}

}  // namespace calque::passes
