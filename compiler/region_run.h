// One run of a compiled segment: the values it holds, with their views and history.
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

 private:
  const CompiledSegment& segment_;
  std::span<const Tensor> slots_;
  PlanOutputs outputs_;
  std::vector<std::pair<size_t, Tensor>> views_;  // made so far, by index
  Ref<TapeNode> node_;
};

}  // namespace calque
