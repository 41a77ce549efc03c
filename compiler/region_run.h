// One run of a compiled segment: the values it holds, with their views and history, aliased as eager execution aliases them.
#pragma once

#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "compiler/compiled_segment.h"
#include "runtime/tape.h"

namespace calque {

class RegionRun {
 public:
  /// Runs the forward plan. Throws what an op throws for bad values.
  RegionRun(const std::shared_ptr<const CompiledSegment>& segment, std::span<const Tensor> slots);

  /// Held value `index` as a tensor. The same one however often it is asked for.
  Tensor held(size_t index);
  /// Another object with the elements and history of held value `index` is what the user holds: views made later are views
  /// of that.
  void adopt(size_t index, TensorImpl& placeholder);

 private:
  const Tensor& root_of(const HeldValue& value) const { return value.root_is_slot ? slots_[value.root] : outputs_[value.root]; }
  std::span<const Tensor> inputs() const { return joined_.empty() ? slots_ : joined_; }
  Tensor step(const HeldPlace& place, size_t index);
  Tensor* known_view(ValueId value);
  const Tensor& with_history(const Tensor& tensor, size_t index) const;

  const CompiledSegment& segment_;
  const SegmentGraph& traced_;
  std::span<const Tensor> slots_;
  std::vector<Tensor> joined_;  // empty: the slots are what the plan takes
  PlanOutputs outputs_;
  Ref<TapeNode> node_;
  std::vector<std::pair<ValueId, Tensor>> views_;  // made so far
  std::vector<Tensor> steps_;                      // the same, by held value, of those that are steps of one output
};

}  // namespace calque
