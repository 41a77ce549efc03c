// Stretches of a recorded way that look like a loop and are none, and why: for people to read.
#pragma once

#include <cstddef>
#include <map>
#include <span>
#include <utility>
#include <vector>

#include "compiler/reasons.h"
#include "compiler/trace.h"

namespace calque {

/// Nodes that go through the same lines `count` times in a row, `period` of them each time.
struct Stretch {
  size_t first, period, count;
  size_t end() const { return first + period * count; }
};

/// All of them, in order, of at least three times. Nodes of the same op and line have the same key; those without a line (0) are
/// in no stretch.
std::vector<Stretch> find_stretches(std::span<const uint32_t> keys);

/// Numbers ops and lines, from 1 on.
class LineKeys {
 public:
  uint32_t of(Op op, const void* location) {
    return location ? known_.try_emplace({op, location}, static_cast<uint32_t>(known_.size() + 1)).first->second : 0;
  }

 private:
  std::map<std::pair<Op, const void*>, uint32_t> known_;
};

struct UnrolledStretch {
  size_t period, count;
  TraceId first;      // op
  Reason reason;
  TraceId differing;  // the op that the reason is about; none
};

/// Of a way on which every iteration has its own nodes. `is_rolled`, by node: which are of loops; there are `loops` of them.
std::vector<UnrolledStretch> unrolled_stretches(const TraceTree& tree, std::span<const TraceId> path,
                                                const std::vector<bool>& is_rolled, size_t loops);

}  // namespace calque
