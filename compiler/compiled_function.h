// The state behind one compile(): the tree of what was recorded, and counts of what happened.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <string>

#include "calque/compile.h"
#include "compiler/pure_table.h"
#include "compiler/trace.h"
#include "runtime/function_ref.h"

namespace calque {

/// What a call needs room for, kept from call to call.
struct FrameScratch {
  std::vector<Tensor> slots;
  std::vector<TensorImpl*> live;
  TensorImpl* spare = nullptr;  // placeholders that came back, a list through `next`

  FrameScratch() = default;
  FrameScratch(const FrameScratch&) = delete;
  FrameScratch& operator=(const FrameScratch&) = delete;
  ~FrameScratch() {
    while (spare) detail::release(std::exchange(spare, spare->next));
  }
};

class CompiledFunction {
 public:
  CompiledFunction(const CompileOptions& options, bool is_pure) : options_(options) {
    if (is_pure) pure_ = std::make_unique<PureTable>(options_);
  }

  const CompileOptions& options() const { return options_; }
  TraceTree& tree() { return tree_; }
  const TraceTree& tree() const { return tree_; }
  CompileStats& stats() { return stats_; }
  /// Null when the function was not declared pure.
  PureTable* pure() { return pure_.get(); }
  void count_eager_call() { eager_calls_.fetch_add(1, std::memory_order_relaxed); }

  /// Of the one call that holds the mutex.
  FrameScratch& scratch() { return scratch_; }

  /// Held by the one call that may look at the tree; another thread's call runs eagerly meanwhile. Recursive, since the
  /// function itself may ask for its statistics.
  std::recursive_mutex& mutex() { return mutex_; }

  /// Makes the plan of the segment that `end` closes, whose values begin with `first_value` in this call, cover those held
  /// now. False when there is none and will be none.
  bool ready(TraceId end, std::span<TensorImpl* const> live, uint32_t first_value);
  void compile_segment(TraceId end, std::span<TensorImpl* const> live, uint32_t first_value);
  void note_bound_reached();
  /// What `on_recompile` asks for when something is compiled or recorded beside what there was: counts it, says so, or throws
  /// UserError. `what` gives the sentence. False when nothing is to be recorded or compiled.
  bool allows_recompilation(const std::function<std::string()>& what);

  /// The observer of the call that holds the mutex: others look at the tree while they keep it outside. Waiting for the end
  /// of the call would be for ever where that call waits for the thread that looks.
  void set_active(Observer* observer) { active_.store(observer, std::memory_order_release); }

  CompileStats snapshot() const;
  std::string explain() const;
  std::string dump(const std::string& stage) const;

 private:
  void read(FunctionRef<void()> reader) const;
  CompileStats snapshot_locked() const;
  std::string explain_locked() const;

  CompileOptions options_;
  TraceTree tree_;
  CompileStats stats_;
  FrameScratch scratch_;
  bool is_bound_noted_ = false;
  std::unique_ptr<PureTable> pure_;
  std::atomic<uint64_t> eager_calls_{0};
  std::atomic<Observer*> active_{nullptr};
  mutable std::recursive_mutex mutex_;
};

}  // namespace calque
