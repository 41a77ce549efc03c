// Where a thread says which observer is at work on it, so that other threads can reach that observer: to have
// a value made, or to have what is pending run before they write to memory that it reads.
#pragma once

#include <atomic>
#include <cstdint>

#include "runtime/function_ref.h"
#include "runtime/observer.h"
#include "runtime/owner_lock.h"

namespace calque {

/// One for each thread that ever had an observer. Posts are never freed; that of a thread that ended serves
/// another.
class ObserverPost {
 public:
  static ObserverPost& of_this_thread();

  /// The observer begins and ends its work. It takes lock() for all that it does, and must not wait for
  /// another thread's post meanwhile.
  void open(Observer& observer) { observer_.store(&observer, std::memory_order_release); }
  void close() { observer_.store(nullptr, std::memory_order_release); }
  OwnerLock& lock() { return lock_; }
  uint32_t id() const { return id_; }

 private:
  friend class ObserverPosts;
  OwnerLock lock_;
  std::atomic<Observer*> observer_{nullptr};
  std::atomic<bool> is_taken_{true};
  ObserverPost* next_ = nullptr;
  uint32_t id_ = 0;
};

/// A value of another thread's observer gets its elements; does nothing when that observer has ended.
void materialize_elsewhere(TensorImpl& impl, Observer& owner);

/// Calls `action` while another thread's observer is kept outside of all that it does; not when that observer has ended.
void visit_elsewhere(Observer& observer, FunctionRef<void()> action);

/// To be called before elements are written in place: other threads' observers that have the storage still to
/// read run what is pending. (This thread's observer is told by border().)
void announce_write(Storage& storage);

}  // namespace calque
