// A plan: what runs in place of a segment's ops. Steps over buffers, made once from a lowered graph and its image, run by a
// team of threads with a barrier only where one step reads what another wrote.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include "compiler/kernel_store.h"
#include "compiler/packed_weight.h"
#include "compiler/team_trial.h"
#include "ir/graph/graph.h"
#include "runtime/inline_array.h"
#include "runtime/tensor_impl.h"
#include "runtime/thread_pool.h"
#include "runtime/try_lock.h"

namespace calque {

/// How an input of a plan must lie in memory; one that does not is copied first.
struct InputLayout {
  Strides strides;
};

/// Of a loop: counted from its begin, and from that of the piece of it that runs (see PlanStep::pieces).
struct Iteration {
  int64_t number = 0, in_piece = 0;
};

/// How a value's place moves from one iteration of a loop to the next, in elements.
struct Walk {
  int64_t step = 0;
  bool alternates = false;   // between two places, `step` apart: what one iteration writes, the next reads
  bool starts_behind = false;  // an alternating walk that begins with the second place
  bool in_piece = false;     // begins anew in each piece of the loop

  int64_t offset(const Iteration& iteration) const {
    if (alternates) return ((iteration.number + starts_behind) & 1) * step;
    return (in_piece ? iteration.in_piece : iteration.number) * step;
  }
  bool operator==(const Walk&) const = default;
};

/// Where a value of the graph lies: in a buffer, at an offset (elements), with strides.
struct Place {
  int buffer = -1;
  Type type;
  Strides strides{};
  int64_t offset = 0;
  Walk walk{};               // of a value of a loop's block

  bool operator==(const Place&) const = default;
};

/// What a step has to know of a place each time it runs, in half a line of the cache: beside weights that a loop reads again and
/// again there is no room for more.
struct Operand {
  explicit Operand(const Place& place);

  /// Bytes from the begin of the buffer.
  int64_t at(const Iteration& iteration) const {
    return offset + Walk{step, alternates, starts_behind, in_piece}.offset(iteration);
  }

  int64_t offset, step;  // bytes
  int64_t row_stride;    // bytes from one row to the next; 0 where there is one row only
  int buffer;
  bool alternates, starts_behind, in_piece;  // see Walk
};

/// The same of a product.
struct ProductForm {
  struct Factor {
    explicit Factor(const Place& place) : operand(place), row_stride(place.strides[0]), col_stride(place.strides[1]) {}
    Operand operand;
    int64_t row_stride, col_stride;  // elements
  };
  struct Term {
    Factor left, right;
    int64_t k;
    int packed;  // see PlanStep::packed
  };
  std::vector<Term> terms;
  int64_t m = 0, n = 0, row_stride = 0;  // of the result; elements
};

struct PlanBuffer {
  enum class Kind : uint8_t { input, owned, arena };
  Kind kind;
  int index = 0;             // of the input; of the owned storages
  size_t bytes = 0;
  size_t arena_offset = 0;
  int first_step = 0, last_step = 0;
};

struct PlanStep {
  enum class Kind : uint8_t { kernel, product, stack, native, copy, loop };
  static constexpr double kShort = 8000;  // nanoseconds of a step in which members do not wait long for one that is slow
  Kind kind;
  bool barrier_before = false;
  const Node* node = nullptr;  // of the lowered graph; none of a copy
  std::vector<Place> inputs, results;
  double nanoseconds = 0;  // of one core, about; of a kernel with its products, of all steps of a loop
  std::vector<Operand> operands;  // inputs, then results; prepared
  // kernel
  int kernel = -1;
  calque_kernel function = nullptr;  // prepared
  Domain domain = Domain::flat;
  int64_t rows = 0, columns = 0;
  /// Matrix products whose columns this kernel goes on with, part by part (see compiler/epilogue.h).
  std::vector<PlanStep> products;
  size_t first_constant = 0, constants = 0;  // of the plan's, that are operands too
  int64_t part_columns = 0;  // of a kernel that can be computed in parts
  /// How far a whole kernel reaches across its domain (see calque/kernel_abi.h).
  int64_t other_end() const { return domain == Domain::columns ? rows : part_columns > 0 ? part_columns : columns; }
  // product: for each term the packed operand that may stand for its right side, or -1
  std::vector<int> packed;
  ProductForm form;  // prepared
  int64_t panel_columns = 0;  // of the packed ones, see kernels::ProductSum
  // stack: products of one term that share their right side, which is the last input; a result for each left one
  Place packing;  // the team's memory for it

  // of a loop's body that may be bound, see plan_columns.cpp
  int64_t period = 0;      // of so many columns, each member has its own; 0: one member does it alone
  bool waits = false;      // before it, for what other members do
  bool starts_early = false;  // the first member waits only behind its own columns of the first product's row

  // loop
  std::vector<PlanStep> body;
  bool may_be_bound = false;
  int64_t length = 0;
  /// Products of which each iteration reads rows of its own. They are made for `piece_length` iterations at a time, just before
  /// these: so they are read from the cache, and their memory does not grow with the length. See plan_pieces.cpp.
  std::vector<PlanStep> pieces;
  int64_t piece_length = 0;
  bool descends = false;  // the first iteration reads the last rows
  enum class Sharing : uint8_t { never, if_quicker, always };
  Sharing sharing = Sharing::always;  // of its steps by the team; never where they are too small
  int owner = 0;  // the member that runs a loop which is not shared; beyond 0: at the same time as the loop before it
  int first_inner_buffer = 0;  // buffers from here on live in one iteration, those before for the whole loop

  /// All places that the step reads, or writes; those of the steps in it, too.
  std::vector<Place> reads() const;
  std::vector<Place> writes() const;
  /// Whether it matters which of the two comes first.
  bool depends_on(const PlanStep& other) const;
  /// Fills in what is marked so, of the steps in it too, once nothing else of them changes.
  void prepare(const Kernels& kernels);
};

/// The right side of a product that comes from outside (a weight).
struct PackedOperand {
  Place place;
  int64_t panel_columns;
  bool is_read_often;          // by every iteration of a loop: worth packing for one run
  // Of the last run.
  Ref<Storage> storage{};      // held so that its address means something
  int64_t offset = 0;          // of the input in it
  uint32_t version = 0;
  std::shared_ptr<PackedWeight> weight{};  // null: it was not packed

  int64_t elements() const;    // of the packed matrix
};

using PlanOutputs = InlineArray<Tensor, 8>;

class Plan {
 public:
  static constexpr size_t kMostOperands = 256, kMostTerms = 64;  // of one step
  /// Of a product that is made while the loop that reads it runs: about as many at a time. Tests have less.
  static std::atomic<int64_t> piece_rows;
  /// Tests set it, to have the smallest loops done by a team.
  static std::atomic<bool> shares_every_loop;

  /// `fresh[i]`: output i must be a storage of its own (what a user gets); others may share with inputs and each other.
  /// `kernels`: one for each fusion.
  /// `same_as[i]`: output i, which is not fresh, has to be the memory of that output before it, even if others are equal; or
  /// kApart: it must share with no input and no fresh output; or kAnywhere, as all are where it is empty.
  static constexpr int kAnywhere = -1, kApart = -2;
  Plan(Graph lowered, Kernels kernels, std::span<const InputLayout> layouts, const std::vector<bool>& fresh,
       const std::vector<int>& same_as = {});

  /// Runs on inputs of the graph's types; gives the outputs. Throws what an op throws for bad values.
  PlanOutputs run(std::span<const Tensor> inputs);

  const Kernels& kernels() const { return kernels_; }
  const Graph& graph() const { return graph_; }
  std::span<const PlanStep> steps() const { return steps_; }
  size_t arena_bytes() const { return arena_bytes_; }
  /// Most memory that a run takes from the pool, beside its inputs: results, saved values, scratch of each thread, packed
  /// weights.
  size_t peak_bytes() const;
  /// Loops of the graph, those inside of others not counted.
  uint64_t loop_count() const;
  /// How often one run calls generated kernels.
  uint64_t launch_count() const;
  int kernel_count() const { return static_cast<int>(kernels_.size()); }
  /// Place of output i, relative to its own buffer.
  const Place& output(size_t i) const { return outputs_[i]; }

 private:
  friend class PlanBuilder;
  friend class PlanRun;

  Graph graph_;
  Kernels kernels_;
  std::vector<uint64_t> constants_;  // of all kernels
  std::vector<Place> inputs_, outputs_;
  std::vector<PlanBuffer> buffers_;
  std::vector<PlanStep> steps_;
  std::vector<PackedOperand> packed_;
  TryLock packed_lock_;  // held by the run that looks at them; others read the weights themselves
  size_t arena_bytes_ = 0, scratch_bytes_ = 0;
  int owned_count_ = 0;
  bool is_worth_a_team_ = false;      // of loops that may be shared or not, none is
  std::unique_ptr<TeamTrial> trial_;  // whether those loops are quicker with a team; null without such loops
};

}  // namespace calque
