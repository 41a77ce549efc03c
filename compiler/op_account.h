// What became of each op of a compiled segment, and what each step of its plan moves and computes.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "compiler/compiled_segment.h"
#include "compiler/reasons.h"
#include "compiler/trace.h"
#include "compiler/unrolled.h"

namespace calque {

/// Floating-point operations count as usual: one for each element of an elementwise op or reduction, 2 M N K
/// for a product.
struct StepAccount {
  std::string label;  // "kernel 0", "product 1", "eager kernel take"
  Reason fate;        // of the ops in it
  int ops = 0;
  int64_t bytes_read = 0, bytes_written = 0;
  double flops = 0;
};

/// A value that the forward plan keeps for the backward one, or a loop for a gradient inside the plan; of a loop, of all of its
/// steps.
struct SavedAccount {
  Type type;
  TraceId made_by = kNoTrace;  // the op, where one op made it; of a state, the one that makes the next
  int64_t steps = 0;           // of the loop that made it; 0: none did
  bool is_state = false;       // as each step finds it
  TraceId grad = kNoTrace;     // the op inside the plan that reads it
};

struct SegmentAccount {
  std::vector<StepAccount> steps, backward_steps;
  std::vector<SavedAccount> saved;
  std::map<TraceId, std::set<int>> steps_of;  // of each recorded op; one that is missing has no step
  std::map<TraceId, TraceId> rolled;          // ops of later iterations, with the same op of the first
  std::vector<UnrolledStretch> unrolled;      // what the plan has no loop for
};

/// Floating-point operations of the product of an [M,K] and a [K,N] matrix.
double product_flops(const Type& left, const Type& right);

/// Lowers the segment once more, each op marked with its place in the tree, and looks where the marks are.
SegmentAccount account_for(const TraceTree& tree, TraceId end, const CompiledSegment& compiled);

/// What became of one op, in a phrase of the table of reasons.
std::string fate_of(const TraceTree& tree, TraceId id, const SegmentAccount& account);

}  // namespace calque
