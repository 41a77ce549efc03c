// The state behind one compile(): the tree of what was recorded, and counts of what happened.
#pragma once

#include <memory>
#include <mutex>
#include <span>
#include <string>

#include "calque/compile.h"
#include "compiler/trace.h"

namespace calque {

class CompiledFunction {
 public:
  explicit CompiledFunction(const CompileOptions& options) : options_(options) {}

  const CompileOptions& options() const { return options_; }
  TraceTree& tree() { return tree_; }
  const TraceTree& tree() const { return tree_; }
  CompileStats& stats() { return stats_; }

  /// Held by the one call that may look at the tree; another thread's call runs eagerly meanwhile. Recursive, since the
  /// function itself may ask for its statistics.
  std::recursive_mutex& mutex() { return mutex_; }

  /// Makes the plan of the segment that `end` closes cover the values held now. False when there is none and will be none.
  bool ready(TraceId end, std::span<TensorImpl* const> live);
  void compile_segment(TraceId end, std::span<TensorImpl* const> live);
  void note_bound_reached();

  CompileStats snapshot() const;
  std::string explain() const;
  std::string dump(const std::string& stage) const;

 private:
  CompileOptions options_;
  TraceTree tree_;
  CompileStats stats_;
  mutable std::recursive_mutex mutex_;
};

}  // namespace calque
