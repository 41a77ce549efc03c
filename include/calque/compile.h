// compile(): wraps a function on tensors so that later calls replay fused native code instead of running op by op.
//
// A compiled function returns what eager execution would have returned: the function's own code still runs on every call,
// each op it asks for is compared with what was recorded (a match), and where it does something new, what was skipped is
// run eagerly and the new way is recorded as a branch. Host state, prints, early returns and data-dependent branches
// need no care.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>

#include "calque/tensor.h"

namespace calque {

/// What happened so far in one compiled function.
struct CompileStats {
  uint64_t calls = 0;            // not those that ran eagerly as a whole (disabled, another thread inside)
  uint64_t recorded_calls = 0;   // calls in which at least one op was recorded as new
  uint64_t matched_ops = 0;      // ops that were compared instead of run
  uint64_t plan_runs = 0;        // segments that ran as compiled code
  uint64_t backward_plan_runs = 0;
  uint64_t replayed_ops = 0;     // ops that had been skipped and were run eagerly after a mismatch
  uint64_t compilations = 0;     // plans made by the code generator
  uint64_t cache_hits = 0;       // plans that came from disk
  uint64_t kernel_launches = 0;  // calls into generated kernels
};

struct CompileOptions {
  std::string name = "compiled";     // in dumps, logs and explanations
  bool compile_at_once = false;      // compile after the first call, not at the first complete match
  int most_branches = 64;            // past this many recorded branches the function stays eager
};

class CompiledFunction;  // compiler/compiled_function.h

namespace detail {
/// One call of a compiled function; the function's body runs while it is alive.
class CallScope {
 public:
  explicit CallScope(CompiledFunction& function);
  ~CallScope();
  /// The body returned: runs what is pending, so that everything still held has its value.
  void finish();
  CallScope(const CallScope&) = delete;
  CallScope& operator=(const CallScope&) = delete;

 private:
  CompiledFunction* function_;
  void* frame_ = nullptr;  // null when the call runs eagerly, or inside another compiled function
};
std::shared_ptr<CompiledFunction> make_compiled_function(const CompileOptions& options);
CompileStats stats_of(const CompiledFunction& function);
std::string explain(const CompiledFunction& function);
std::string dump(const CompiledFunction& function, const std::string& stage);
}  // namespace detail

/// A function wrapped by compile(). Copies share what was compiled. Any number of threads may call it.
template <class Function>
class Compiled {
 public:
  Compiled(Function function, const CompileOptions& options)
      : function_(std::move(function)), state_(detail::make_compiled_function(options)) {}

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

  CompileStats stats() const { return detail::stats_of(*state_); }
  /// Each recorded op with its source line, where it was fused, or why it was not.
  std::string explain() const { return detail::explain(*state_); }
  /// Text of what was compiled: "trace", "prepare", "lower", "llvm", "assembly" (and "backward-..." of each).
  std::string dump(const std::string& stage) const { return detail::dump(*state_, stage); }

 private:
  Function function_;
  std::shared_ptr<CompiledFunction> state_;
};

/// Wraps any callable on tensors (and whatever else it takes).
template <class Function>
Compiled<std::decay_t<Function>> compile(Function&& function, const CompileOptions& options = {}) {
  return {std::forward<Function>(function), options};
}

}  // namespace calque
