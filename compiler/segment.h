// A segment of a compiled function at run time: its plan, and the values it has to make.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "calque/compile.h"
#include "compiler/compiled_segment.h"
#include "compiler/rolled_segment.h"
#include "compiler/trace.h"

namespace calque {

/// Has a plan for each of the sizes that calls came with lately. All but select() and what is for people is about the selected
/// one.
class Segment {
 public:
  /// Goes to the plan for the sizes that the way to `end`, of this segment, is bound to now. There may be none yet.
  void select(const TraceTree& tree, TraceId end);
  /// Whether the plan makes every value that is held now.
  bool covers(std::span<TensorImpl* const> live, uint32_t first_value) const;
  /// Compiles a plan for these values and those that earlier calls held. False when that failed: see failure().
  bool compile(const TraceTree& tree, TraceId begin, TraceId end, std::span<TensorImpl* const> live,
               uint32_t first_value, const std::string& name, CompileStats& stats);
  /// Runs the plan and fills the placeholders.
  void run(std::span<const Tensor> slots, std::span<TensorImpl* const> live, uint32_t first_value, CompileStats& stats);

  /// CALQUE_VERIFY: what the next run must give; run() throws InternalError at the first difference.
  void expect(std::vector<Tensor> values) { expected_ = std::move(values); }

  /// What only the plan counts: its backward runs, and calls of the code generator.
  void add_to(CompileStats& stats) const;

  /// Null, empty: before the first select().
  const CompiledSegment* compiled() const { return plans_.empty() ? nullptr : current().compiled.get(); }
  std::shared_ptr<const CompiledSegment> shared() const { return plans_.empty() ? nullptr : current().compiled; }
  std::string failure() const { return plans_.empty() ? "" : current().failure; }
  const BoundSizes& sizes() const { return current().sizes; }
  /// For how many sizes there are plans.
  size_t plan_count() const;

  /// What had these values while the plans were made are symbols now, some of them known already.
  void add_sizes(const BoundSizes& sizes);
  /// Takes over the plan of a segment of another way that was the same but for sizes, which are these.
  void adopt(const Segment& other, const BoundSizes& sizes);

 private:
  static constexpr size_t kMostPlans = 128;
  struct SizedPlan {
    BoundSizes sizes;
    std::vector<uint32_t> held;  // numbers from the segment's first, ascending
    std::shared_ptr<const CompiledSegment> compiled;
    std::string failure;         // why there is no plan, and will be none
    uint64_t last_use = 0;
  };
  /// Writes the program down op by op, later: the tree goes on changing.
  WriteRecorded write_later(const TraceTree& tree, TraceId end, const SegmentGraph& rolled);
  std::shared_ptr<const CompiledSegment> compile_program(const TraceTree& tree, TraceId begin, TraceId end,
                                                         std::span<const uint32_t> held, const std::string& name,
                                                         CompileStats& stats);
  SizedPlan& current() { return plans_[current_]; }
  const SizedPlan& current() const { return plans_[current_]; }
  void forget(const SizedPlan& plan);

  std::vector<SizedPlan> plans_;
  size_t current_ = 0;
  uint32_t generation_ = 0;  // of the sizes that `current_` is for
  uint64_t clock_ = 0;
  std::vector<Tensor> expected_;
  std::shared_ptr<const TraceTree> snapshot_;  // of the tree at `snapshot_revision_`
  uint64_t snapshot_revision_ = 0;
  std::vector<RolledNeighbours> neighbours_;
  uint64_t past_backward_runs_ = 0, past_code_generations_ = 0;  // of plans that are kept no more
};

}  // namespace calque
