// The one interface through which a tracer sees the runtime: asked before each outermost op, told after it.
#pragma once

#include <mutex>
#include <span>

#include "ir/op/op.h"
#include "runtime/tensor_impl.h"

namespace calque {

struct OpCall {
  Op op;
  std::span<TensorImpl* const> inputs;
  const Attributes& attributes;
  const void* location;  // return address in the user's code
};

class Observer {
 public:
  virtual ~Observer() = default;
  /// True: the op is the one that the observer expected next, on operands that it knows, and it has filled `results`. Asked first,
  /// so that such an op costs nothing else: operands may still be empty handles, or of dtypes that no op takes.
  virtual bool expected(const OpCall& call, std::span<Tensor> results) = 0;
  /// True: the observer has taken the op and filled `results` (with placeholders, say). False: it is to be run.
  virtual bool before(const OpCall& call, std::span<Tensor> results) = 0;
  /// The op ran. Not called after an op that threw.
  virtual void after(const OpCall& call, std::span<Tensor> results) = 0;
  /// The last handle of a value that carries this observer is gone. True: the observer keeps the object, to hand it out again.
  /// Called by the observer's own thread only; see `release_of_another_thread`.
  virtual bool released(TensorImpl& impl) noexcept = 0;
  /// The elements of a value that carries this observer are read on the host now. Own thread only.
  virtual void needed(TensorImpl& impl) = 0;
  /// Something is about to happen that the observer cannot follow (a write in place, a backward pass): whatever is
  /// pending must have happened first.
  virtual void border(const char* reason) = 0;
  /// Something happened that is no op and needs nothing to be run first, but that a repetition of the ops alone would leave
  /// out: the host read elements, a gradient was set.
  virtual void effect(const char* what) = 0;
  /// Whether what leads from `inputs` to `outputs` are ops that this observer was asked for since the last border: then a gradient
  /// between them can be an op as well.
  virtual bool sees_history(std::span<const Tensor> outputs, std::span<const Tensor> inputs) = 0;
  /// An op that follows takes `copy`, made of the elements that `original` has now.
  virtual void copied(const TensorImpl& original, const Tensor& copy) = 0;
  /// The process's generator gave the state for its next `count` numbers.
  virtual void drawn(int64_t count, const Tensor& state) = 0;

  // Called by another thread, which holds the lock of this observer's post meanwhile: see observer_post.h.
  /// The elements of a value that carries this observer are read.
  virtual void needed_elsewhere(TensorImpl& impl) = 0;
  /// The storage is about to be written in place: what is pending and reads it must have happened first.
  virtual void written_elsewhere(const Storage& storage) = 0;
  /// `released`, in the course of one of these.
  virtual void released_elsewhere(TensorImpl& impl) noexcept = 0;
};

/// State of the running thread.
struct ThreadState {
  Observer* observer = nullptr;  // null inside composites and backward passes: only outermost ops are seen
  Observer* own = nullptr;       // the observer of this thread also then
  Observer* visited = nullptr;   // another thread's observer whose post this thread holds
  uint32_t post = 0;             // of this thread: see observer_post.h
  bool grad_enabled = true;
};
extern thread_local constinit ThreadState thread_state;

/// Hides the observer while something is done that it has agreed to see as one step, or not at all.
class ObserverPause {
 public:
  ObserverPause() : observer_(std::exchange(thread_state.observer, nullptr)) {}
  ~ObserverPause() { thread_state.observer = observer_; }
  ObserverPause(const ObserverPause&) = delete;
  ObserverPause& operator=(const ObserverPause&) = delete;

 private:
  Observer* observer_;
};

/// Held while values that another thread may let go of stop being observed.
std::mutex& foreign_release_mutex();
/// The last handle of an observed value went in another thread than its observer's. False: the observer destroys it.
bool release_of_another_thread(TensorImpl& impl) noexcept;

/// Tells this thread's observer, if there is one, of a border.
inline void border(const char* reason) {
  if (thread_state.observer) thread_state.observer->border(reason);
}
inline void effect(const char* what) {
  if (thread_state.observer) thread_state.observer->effect(what);
}

}  // namespace calque
