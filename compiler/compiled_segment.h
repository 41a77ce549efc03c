// What a segment becomes: a plan, and the plan of its backward pass.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "compiler/kernel_text.h"
#include "compiler/plan.h"
#include "compiler/plan_cache.h"
#include "compiler/plan_text.h"
#include "compiler/segment_graph.h"
#include "passes/autodiff.h"

namespace calque {

struct BackwardProgram {
  std::unique_ptr<Plan> plan;
  GradientMap map;
  std::atomic<uint64_t> runs{0};
};

/// Writes down what was recorded, when that is asked for.
using WriteRecorded = std::function<SegmentGraph()>;

/// A value that somebody holds: what makes it among the held values of the program, and which of its steps it is (0 of a value by
/// itself).
struct HeldPlace {
  uint32_t value;  // number on the path
  uint32_t entry;
  int64_t step;
};

struct CompiledSegment {
  SegmentGraph traced;  // its loops may be rolled already
  /// All values that are held, ascending; with those that the program gives as one output.
  std::vector<HeldPlace> held;
  /// What the forward plan takes, of the tensors that are bound to the slots.
  std::vector<Tensor> inputs_of(std::span<const Tensor> slots) const;
  bool takes_sequences() const { return !traced.sources.empty() && !traced.sources.back().steps.empty(); }
  /// The same as a graph of what was recorded, op by op, without loops.
  const SegmentGraph& recorded() const;
  std::unique_ptr<Plan> forward;                // outputs: the roots, then the saved values
  std::shared_ptr<BackwardProgram> backward;    // null when nothing needs a gradient
  /// The backward pass when the held values marked in `absent` get no gradient: compiled when first asked for. Null when that
  /// failed.
  std::shared_ptr<BackwardProgram> backward_without(const std::vector<bool>& absent) const;

  /// Its loops were never unrolled; the code is that of the same program of another length.
  bool is_of_any_length() const { return write_recorded_ != nullptr; }
  RowLength row_length = RowLength::own;     // for which code was made, where there was none
  PlanOrigin origin = PlanOrigin::compiled;  // of the code
  bool is_from_cache() const { return origin != PlanOrigin::compiled; }
  double compile_milliseconds = 0;
  /// Calls of the code generator, also those that partial backward passes took.
  mutable std::atomic<uint64_t> code_generations{0};

 private:
  friend std::unique_ptr<CompiledSegment> compile_segment(SegmentGraph, const std::string&, RowLength, WriteRecorded);
  WriteRecorded write_recorded_;
  mutable std::once_flag recorded_once_;
  mutable SegmentGraph recorded_;
  mutable std::mutex partial_mutex_;
  mutable std::map<std::vector<bool>, std::shared_ptr<BackwardProgram>> partial_;
};

/// Compiles, or takes from the cache. Throws when that is not possible; the segment is then run eagerly. `row_length`: of new code.
/// `write_recorded`: for a graph whose loops are rolled.
std::unique_ptr<CompiledSegment> compile_segment(SegmentGraph traced, const std::string& name, RowLength row_length,
                                                 WriteRecorded write_recorded = nullptr);

/// The segment after the derivative-preserving passes, for dumps.
Graph prepared_graph(const SegmentGraph& segment);

/// The lowered graphs with the source lines of their nodes, which a plan from the cache does not have. `backward` is empty
/// when nothing needs a gradient.
struct LoweredGraphs {
  Graph forward{"forward"}, backward{"backward"};
};
LoweredGraphs lowered_graphs(const SegmentGraph& segment);

/// Forward and backward as graphs of eager ops, for gradients that are themselves recorded: made when asked for.
struct EagerGradient {
  Differentiation differentiation;
  size_t saved = 0;                             // how many outputs of its forward are saved values
};
EagerGradient eager_gradient(const SegmentGraph& segment);

}  // namespace calque
