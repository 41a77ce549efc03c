// compile(): wraps a function on tensors so that later calls replay fused native code instead of running op
// by op.
//
// A compiled function returns what eager execution would have returned: the function's own code still runs on
// every call, each op it asks for is compared with what was recorded (a match), and where it does something
// new, what was skipped is run eagerly and the new way is recorded as a branch. Host state, prints, early
// returns and data-dependent branches need no care.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>

#include "calque/tensor.h"

#pragma GCC visibility push(default)

namespace calque {

/// What happened so far in one compiled function.
struct CompileStats {
  uint64_t calls = 0;           // that were recorded, matched or entered
  uint64_t eager_calls = 0;     // that ran eagerly as a whole: function busy, or compiling disabled
  uint64_t recorded_calls = 0;  // calls in which at least one op was recorded as new
  uint64_t matched_ops = 0;     // ops that were compared instead of run
  uint64_t plan_runs = 0;       // segments that ran as compiled code
  uint64_t backward_plan_runs = 0;
  uint64_t replayed_ops = 0;     // ops that had been skipped and were run eagerly after a mismatch
  uint64_t compilations = 0;     // plans made anew
  uint64_t compile_us = 0;       // microseconds that making plans took, or reading them from the cache
  uint64_t rolled_plans = 0;     // whose loops were never unrolled, not even while compiling
  uint64_t code_generations = 0;  // calls of the code generator for them: each gives a kernel that no plan had before
  uint64_t cache_hits = 0;       // plans that came from the cache, in memory or on disk
  uint64_t kernel_launches = 0;  // calls into generated kernels
  uint64_t loop_runs = 0;        // loops of the function that ran as one step of a plan
  uint64_t recompilations = 0;   // further ways of a mode, and plans made again to hold more values
  uint64_t trace_nodes = 0;      // recorded ops and ends of segments, of all ways
  uint64_t branches = 0;         // ways beside the first

  // Of compile(pure, ...).
  uint64_t entered_calls = 0;  // that ran without the function's own code
  uint64_t keys = 0;           // kinds of arguments known now
  uint64_t audits = 0;         // calls of a known key that were matched, to compare
  uint64_t dropped_keys = 0;   // to make room for others
};

/// What to do when a call goes a way that was not recorded before, though its mode (recording of gradients,
/// training) had a complete way already.
enum class OnRecompile : uint8_t {
  record,  // run eagerly what was skipped, and record the new way
  warn,    // the same, saying once for each way what is new, with its line
  error,   // throw UserError saying so
  eager,   // run eagerly and record nothing
};

/// What a call does while another thread is inside the same compiled function.
enum class WhenBusy : uint8_t { eager, wait };

struct CompileOptions {
  std::string name = "compiled";  // in dumps, logs and explanations
  bool compile_at_once = false;   // compile after the first call, not at the first complete match
  int most_branches = 64;         // past this many recorded branches the function stays eager
  OnRecompile on_recompile = OnRecompile::record;
  WhenBusy when_busy = WhenBusy::eager;

  // Of compile(pure, ...).
  bool audits = true;  // match some calls of a known key, to see that the function is pure
  int most_keys = 64;  // past this many keys, the one not used for longest is dropped for a new one
};

class CompiledFunction;  // compiler/compiled_function.h
class Frame;             // compiler/frame.h

namespace detail {
/// One call of a compiled function; the function's body runs while it is alive.
class CallScope {
 public:
  explicit CallScope(CompiledFunction& function);
  ~CallScope();
  /// The body returned: runs what is pending, so that everything still held has its value.
  void finish();
  Frame* frame() const { return frame_; }
  CallScope(const CallScope&) = delete;
  CallScope& operator=(const CallScope&) = delete;

 private:
  CompiledFunction* function_;
  Frame* frame_ = nullptr;  // null when the call runs eagerly, or inside another compiled function
};
std::shared_ptr<CompiledFunction> make_compiled_function(const CompileOptions& options, bool is_pure);
CompileStats stats_of(const CompiledFunction& function);
std::string explain(const CompiledFunction& function);
std::string dump(const CompiledFunction& function, const std::string& stage);
}  // namespace detail

/// What can be asked of any compiled function.
class CompiledBase {
 public:
  CompileStats stats() const { return detail::stats_of(*state_); }
  /// Each recorded op with its source line, where it was fused, or why it was not.
  std::string explain() const { return detail::explain(*state_); }
  /// Text of what was compiled: "trace", "prepare", "lower", "llvm", "assembly" (and "backward-..." of each).
  std::string dump(const std::string& stage) const { return detail::dump(*state_, stage); }

 protected:
  explicit CompiledBase(std::shared_ptr<CompiledFunction> state) : state_(std::move(state)) {}

  std::shared_ptr<CompiledFunction> state_;
};

/// A function wrapped by compile(). Copies share what was compiled. Any number of threads may call it.
template <class Function>
class Compiled : public CompiledBase {
 public:
  Compiled(Function function, const CompileOptions& options)
      : CompiledBase(detail::make_compiled_function(options, false)), function_(std::move(function)) {}

  template <class... Arguments>
  auto operator()(Arguments&&... arguments) -> std::invoke_result_t<Function&, Arguments...> {
    using Result = std::invoke_result_t<Function&, Arguments...>;
    detail::CallScope scope(*state_);
    if constexpr (std::is_void_v<Result>) {
      std::invoke(function_, std::forward<Arguments>(arguments)...);
      scope.finish();
    } else if constexpr (std::is_reference_v<Result>) {
      Result result = std::invoke(function_, std::forward<Arguments>(arguments)...);
      scope.finish();
      return static_cast<Result>(result);
    } else {
      Result result = std::invoke(function_, std::forward<Arguments>(arguments)...);
      scope.finish();
      return result;
    }
  }

 private:
  Function function_;
};

/// Wraps any callable on tensors (and whatever else it takes).
template <class Function>
Compiled<std::decay_t<Function>> compile(Function&& function, const CompileOptions& options = {}) {
  return {std::forward<Function>(function), options};
}

}  // namespace calque

#pragma GCC visibility pop
