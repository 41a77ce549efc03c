// Makes the steps of a plan: places every value, inserts the copies that layouts need, lays out the arena.
#pragma once

#include <algorithm>
#include <map>
#include <span>
#include <vector>

#include "compiler/plan.h"

namespace calque {

inline bool touches(std::span<const Place> places, int buffer) {
  return std::ranges::any_of(places, [&](const Place& place) { return place.buffer == buffer; });
}

/// Whose elements of a buffer a step touches. Of each `period` elements, every member of a team has its own; they begin at `phase`.
struct Access {
  static constexpr int64_t kAnyones = 0, kOfFirstMember = -1;
  int buffer;
  int64_t period = kAnyones, phase = 0;

  bool operator==(const Access&) const = default;
};

/// What a step touches, or several.
struct Touched {
  std::vector<Access> reads, writes;

  void add(const Touched& more);
};

class PlanBuilder {
 public:
  PlanBuilder(Plan& plan, std::span<const InputLayout> layouts);
  void build(const std::vector<bool>& fresh, const std::vector<int>& same_as);

 private:
  void add_node(const Node& node);
  void add_view(const Node& node);
  void add_fusion(const Node& node);
  void add_product(const Node& node);
  void add_native(const Node& node);
  /// See plan_loop.cpp.
  void add_loop(const Node& node);
  friend class LoopPlanner;
  /// Takes the products that a kernel may follow part by part into its step.
  void attach_products(PlanStep& kernel, const Graph& body);
  void place_outputs(const std::vector<bool>& fresh, const std::vector<int>& same_as);

  Place new_place(const Type& type);
  std::vector<Place> result_places(const Node& node);
  /// The place itself if its rows can be walked with one stride, else that of a dense copy.
  Place as_rows(const Place& place, Domain domain);
  Place dense_copy(const Place& place);
  void add_copy(const Place& from, const Place& to);
  /// Nanoseconds that one core would need: for what a team shares, for what one member does while the others wait, and for
  /// loops that are one or the other.
  struct Work {
    double shared = 0, alone = 0, undecided = 0;
    double total() const { return shared + alone + undecided; }
  };
  static constexpr double kWorthATeam = 6000;  // nanoseconds of work below which one thread is quicker than two
  void estimate(double nanoseconds) { work_.shared += nanoseconds; }
  /// Says of every product how weights are packed for it.
  void choose_packing(std::span<PlanStep> steps, bool is_read_often);
  static int64_t panel_columns(const PlanStep& kernel, const PlanStep& product);
  int packed_operand(const Place& right, int64_t panel_columns, bool is_read_often);
  /// See plan_pieces.cpp.
  void cut_products_into_pieces();
  bool take_in_pieces(PlanStep& loop, const PlanStep& product);
  /// See plan_stack.cpp.
  void stack_products(std::vector<PlanStep>& steps);
  /// See plan_beside.cpp.
  void set_loops_beside();
  bool is_worth_a_member_each(std::span<const size_t> group);
  void lengthen_lifetimes_beside();
  int note_lifetimes(std::span<const PlanStep> steps, int first, std::vector<bool>& seen);
  void lay_out_arena();
  /// `touched`: since the last barrier.
  void place_barriers(std::span<PlanStep> steps, Touched& touched);
  /// Whether two buffers have memory in common.
  bool overlap(int a, int b) const;
  /// Whether what a step touches may be what another member still reads or writes.
  bool has_to_wait(const Touched& step, const Touched& before) const;
  /// See plan_columns.cpp.
  void bind_loops(std::span<PlanStep> steps);
  void place_waits(std::span<PlanStep> body) const;

  Plan& plan_;
  // The block that is being planned: the graph, or the body of a loop.
  const Graph* graph_;
  std::vector<Place> places_;            // by value
  std::map<ValueId, Place> reserved_;    // where results have to lie
  std::vector<PlanStep>* steps_;
  int buffer_count() const { return static_cast<int>(plan_.buffers_.size()); }
  Work work_;                            // of one run of the block
  int next_kernel_ = 0;
};

}  // namespace calque
