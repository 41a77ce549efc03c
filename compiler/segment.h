// A segment of a compiled function at run time: its plan, and the values it has to make.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "calque/compile.h"
#include "compiler/compiled_segment.h"
#include "compiler/trace.h"

namespace calque {

class Segment {
 public:
  /// Whether the plan makes every value that is held now.
  bool covers(std::span<TensorImpl* const> live, uint32_t first_value) const;
  /// Compiles a plan for these values and those that earlier calls held. False when that failed: see failure().
  bool compile(const TraceTree& tree, TraceId begin, TraceId end, std::span<TensorImpl* const> live,
               uint32_t first_value, const std::string& name, CompileStats& stats);
  /// Runs the plan and fills the placeholders.
  void run(std::span<const Tensor> slots, std::span<TensorImpl* const> live, CompileStats& stats);

  /// CALQUE_VERIFY: what the next run must give; run() throws InternalError at the first difference.
  void expect(std::vector<Tensor> values) { expected_ = std::move(values); }

  /// What only the plan counts: its backward runs, and calls of the code generator.
  void add_to(CompileStats& stats) const;

  const CompiledSegment* compiled() const { return compiled_.get(); }
  const std::shared_ptr<const CompiledSegment>& shared() const { return compiled_; }
  const std::string& failure() const { return failure_; }

 private:
  void check_expected(const TensorImpl& made, uint32_t value) const;

  std::vector<uint32_t> held_;    // numbers from the segment's first, ascending
  uint32_t first_value_ = 0;
  std::shared_ptr<const CompiledSegment> compiled_;
  std::string failure_;           // why there is no plan, and will be none
  std::vector<Tensor> expected_;
};

}  // namespace calque
