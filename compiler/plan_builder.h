// Makes the steps of a plan: places every value, inserts the copies that layouts need, lays out the arena.
#pragma once

#include <span>
#include <vector>

#include "compiler/plan.h"

namespace calque {

class PlanBuilder {
 public:
  PlanBuilder(Plan& plan, std::span<const InputLayout> layouts);
  void build(const std::vector<bool>& fresh);

 private:
  void add_node(NodeId id);
  void add_view(const Node& node);
  void add_fusion(const Node& node, NodeId id);
  void add_product(const Node& node, NodeId id);
  void add_native(const Node& node, NodeId id);
  /// Takes the products that a kernel may follow part by part into its step.
  void attach_products(PlanStep& kernel, const Graph& body);
  void place_outputs(const std::vector<bool>& fresh);

  Place new_place(const Type& type);
  std::vector<Place> result_places(const Node& node);
  /// The place itself if its rows can be walked with one stride, else that of a dense copy.
  Place as_rows(const Place& place, Domain domain);
  Place dense_copy(const Place& place);
  int packed_operand(const Place& right);
  void note_lifetimes();
  void lay_out_arena();
  void place_barriers();

  Plan& plan_;
  const Graph& graph_;
  std::vector<Place> places_;  // by value
  int next_kernel_ = 0;
};

}  // namespace calque
