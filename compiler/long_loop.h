// Of a loop that goes on and on, a recorded way keeps the first iterations and the last two.
#pragma once

#include <atomic>
#include <vector>

#include "compiler/trace.h"

namespace calque {

/// While a call is recorded: notices that the last nodes are iterations of a loop, and from then on compares ops with what the
/// next iteration asks for, instead of keeping them.
class LongLoop {
 public:
  /// A loop has as many nodes before its iterations are only counted: more than one iteration of a loop around it could have.
  /// Tests have less.
  static std::atomic<size_t> most_nodes;

  bool is_counting() const { return period_ != 0; }
  /// Whether nodes are missing in what was recorded.
  bool has_omitted() const { return has_omitted_; }
  /// The newest node of the tree was recorded; it and those before it, from `fork` on, are a way.
  void note_recorded(const TraceTree& tree, TraceId fork);
  /// Whether the node is what comes next in the loop. It is counted then, and not to be recorded.
  bool count(const TraceTree& tree, const TraceNode& node);
  /// Something else comes next: the last two iterations take the place of those that were kept last, and what is missing before
  /// them is noted. Gives the nodes of the iteration that is not over, which are to be recorded.
  std::vector<TraceNode> stop(TraceTree& tree);

 private:
  bool repeats(const TraceTree& tree, size_t period) const;

  TraceId first_ = 0;          // of the nodes among which a loop is looked for
  size_t next_look_ = 0;       // when there are so many of them
  TraceId last_two_ = 0;       // the first node of the last two iterations
  size_t period_ = 0, counted_ = 0;
  bool has_omitted_ = false;
};

/// The node as it is so many iterations later, of which `later` is the first.
TraceNode advanced(const TraceNode& node, const TraceNode& later, int64_t iterations);

}  // namespace calque
