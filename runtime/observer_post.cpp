// The list of posts, and visits to them.
#include "runtime/observer_post.h"

#include <pthread.h>

#include <memory>

#include "runtime/tensor_impl.h"

namespace calque {

/// All posts of the process, in a list that only grows.
class ObserverPosts {
 public:
  static ObserverPost& take() {
    static const bool once = [] {
      pthread_atfork(nullptr, nullptr, &ObserverPosts::forget_other_threads);
      return true;
    }();
    static_cast<void>(once);
    for (ObserverPost* post = first_.load(std::memory_order_acquire); post; post = post->next_)
      if (!post->is_taken_.exchange(true, std::memory_order_acq_rel)) return *post;
    return add();
  }
  static void give_back(ObserverPost& post) { post.is_taken_.store(false, std::memory_order_release); }

  /// Visits the observers of other threads that satisfy the condition, one after the other.
  template <class Condition, class Action>
  static void visit(Condition condition, Action action) {
    for (ObserverPost* post = first_.load(std::memory_order_acquire); post; post = post->next_) {
      Observer* observer = post->observer_.load(std::memory_order_acquire);
      if (!observer || observer == thread_state.own || !condition(observer)) continue;
      post->lock_.lock();
      const std::unique_ptr<OwnerLock, void (*)(OwnerLock*)> unlocking(
          &post->lock_, [](OwnerLock* lock) { lock->unlock(); });
      const ObserverPause pause;
      Observer* const before = std::exchange(thread_state.visited, observer);
      const std::unique_ptr<Observer, Restore> restoring(observer, Restore{before});
      if (post->observer_.load(std::memory_order_relaxed) == observer) action(*observer);
    }
  }

 private:
  struct Restore {
    Observer* before;
    void operator()(Observer*) const { thread_state.visited = before; }
  };

  static ObserverPost& add() {
    static std::atomic<uint32_t> ids{0};
    auto* post = new ObserverPost;
    post->id_ = ids.fetch_add(1, std::memory_order_relaxed) + 1;
    post->next_ = first_.load(std::memory_order_relaxed);
    while (!first_.compare_exchange_weak(post->next_, post, std::memory_order_acq_rel)) {
    }
    return *post;
  }

  /// The child has one thread: nobody is at the other posts any more.
  static void forget_other_threads() {
    for (ObserverPost* post = first_.load(std::memory_order_acquire); post; post = post->next_) {
      post->lock_.forget_others();
      if (post->observer_.load(std::memory_order_relaxed) != thread_state.own)
        post->observer_.store(nullptr, std::memory_order_relaxed);
    }
  }

  static inline std::atomic<ObserverPost*> first_{nullptr};
};

ObserverPost& ObserverPost::of_this_thread() {
  struct Holder {
    ObserverPost& post = ObserverPosts::take();
    ~Holder() { ObserverPosts::give_back(post); }
  };
  static thread_local Holder holder;
  thread_state.post = holder.post.id();
  return holder.post;
}

void materialize_elsewhere(TensorImpl& impl, Observer& owner) {
  ObserverPosts::visit([&](Observer* observer) { return observer == &owner; },
                       [&](Observer& observer) {
                         if (impl.observer.load(std::memory_order_relaxed) == &observer)
                           observer.needed_elsewhere(impl);
                       });
}

void visit_elsewhere(Observer& wanted, FunctionRef<void()> action) {
  ObserverPosts::visit([&](Observer* observer) { return observer == &wanted; }, [&](Observer&) { action(); });
}

void announce_write(Storage& storage) {
  const uint32_t reader = storage.read_by.load(std::memory_order_relaxed);
  if (reader == Storage::kNobody || (reader != Storage::kSeveral && reader == thread_state.post)) return;
  ObserverPosts::visit([](Observer*) { return true; },
                       [&](Observer& observer) { observer.written_elsewhere(storage); });
}

}  // namespace calque
