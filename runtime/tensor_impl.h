// What stands behind a Tensor: elements (or the promise of them), strides, history.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <new>
#include <utility>

#include "calque/tensor.h"
#include "runtime/kernels/eager.h"
#include "runtime/pool.h"

namespace calque {

class Observer;
class TapeNode;
struct ViewOrigin;

/// Reference-counted bytes of elements: one block of header and elements, or elements that somebody lends.
struct Storage {
  static constexpr uint32_t kNobody = 0, kSeveral = ~0u;
  std::atomic<int32_t> references{1};
  std::atomic<uint32_t> version{0};       // writes in place so far
  std::atomic<bool> written_unseen{false};  // a writable pointer is about: the version does not tell of every write
  std::atomic<uint32_t> read_by{kNobody};   // the post of the one thread whose observer ever deferred a read of it
  size_t bytes = 0;                         // of the elements; 0 when they are lent
  std::byte* elements = nullptr;
  void (*give_back)(void* lender) = nullptr;  // called once when lent elements are no longer used; must not throw
  void* lender = nullptr;

  static Storage* create(size_t bytes);
  /// What create(bytes) takes from the pool.
  static size_t taken_for(size_t bytes);
  static Storage* borrow(void* elements, void (*give_back)(void* lender), void* lender);
  void retain() { references.fetch_add(1, std::memory_order_relaxed); }
  void release() noexcept;
  bool changes_unseen() const { return written_unseen.load(std::memory_order_relaxed); }
  std::byte* data() { return elements; }
  /// An observer at this post will read the elements later: writers have to announce themselves.
  void note_reader(uint32_t post) {
    uint32_t known = read_by.load(std::memory_order_relaxed);
    if (known == post || known == kSeveral) return;
    if (known != kNobody || !read_by.compare_exchange_strong(known, post, std::memory_order_relaxed))
      read_by.store(kSeveral, std::memory_order_relaxed);
  }
};

/// Reference counting of any type with `references` and `destroy()`, as a handle.
template <class T>
class Ref {
 public:
  Ref() = default;
  static Ref adopt(T* object) {
    Ref ref;
    ref.object_ = object;
    return ref;
  }
  static Ref share(T* object) {
    if (object) object->retain();
    return adopt(object);
  }
  Ref(const Ref& other) : object_(other.object_) {
    if (object_) object_->retain();
  }
  Ref(Ref&& other) noexcept : object_(std::exchange(other.object_, nullptr)) {}
  Ref& operator=(Ref other) noexcept {
    std::swap(object_, other.object_);
    return *this;
  }
  ~Ref() {
    if (object_) object_->release();
  }
  T* get() const { return object_; }
  /// For an object that another thread may publish meanwhile.
  T* get_published() const { return std::atomic_ref(const_cast<T*&>(object_)).load(std::memory_order_acquire); }
  /// Takes the object over when it was empty; what was written before is visible to who gets it by get_published().
  void publish(Ref other) { std::atomic_ref(object_).store(std::exchange(other.object_, nullptr), std::memory_order_release); }
  T* operator->() const { return object_; }
  T& operator*() const { return *object_; }
  explicit operator bool() const { return object_ != nullptr; }

 private:
  T* object_ = nullptr;
};

struct TensorImpl {
  std::atomic<int32_t> references{1};
  DType dtype = DType::f32;
  bool requires_grad = false;             // a leaf that asks for it, or made by a recorded op
  int32_t result_index = 0;               // which result of `producer`
  Shape shape;
  Strides strides{};  // in elements
  int64_t offset = 0;                     // in elements, into the storage
  Ref<Storage> storage;                   // null: a placeholder whose observer makes it when needed
  Ref<TapeNode> producer;                 // null: a leaf
  Tensor gradient;
  Ref<ViewOrigin> origin;                 // of a view: runtime/view_origin.h
  uint32_t history_version = 0;           // of a base: how often a write replaced its history; of a view: which one it has
  bool is_cut_off = false;                // a view made while gradients were not recorded

  // Of the observer, while a compiled function runs; an intrusive list of the values that are alive.
  std::atomic<Observer*> observer{nullptr};
  uint32_t value_id = 0;
  bool left_behind = false;  // by another thread, for the observer to destroy; guarded by foreign_release_mutex()
  TensorImpl *previous = nullptr, *next = nullptr;

  TensorImpl();
  TensorImpl(DType dtype, bool requires_grad, const Shape& shape, const Strides& strides);
  ~TensorImpl();
  TensorImpl(const TensorImpl&) = delete;
  TensorImpl& operator=(const TensorImpl&) = delete;
  static TensorImpl* create() { return new (memory::allocate_for<TensorImpl>()) TensorImpl; }
  /// One without elements.
  static TensorImpl* create(DType dtype, bool requires_grad, const Shape& shape, const Strides& strides) {
    return new (memory::allocate_for<TensorImpl>()) TensorImpl(dtype, requires_grad, shape, strides);
  }
  void destroy() noexcept;
  bool is_pending() const { return !storage.get_published(); }
  /// Of a placeholder: nothing became of it but that it was handed out, so it may be handed out again.
  bool is_untouched() const {
    return references.load(std::memory_order_relaxed) == 1 && is_pending() && !producer && !gradient && !origin &&
           history_version == 0 && !is_cut_off;
  }
  /// Row-major strides for the shape.
  void set_contiguous_strides();
  kernels::View view() const;
  Type type() const { return {dtype, shape}; }
};

/// Gives the placeholder its elements by asking its observer, of whatever thread; does nothing for other tensors. Throws
/// UserError when they could not be computed.
void materialize(TensorImpl& impl);
/// The elements of a tensor for writing in place, once everything that is pending and reads them has run. Counts as a write;
/// `reason` is what this thread's observer is told.
kernels::View writable_view_of(TensorImpl& impl, const char* reason);
/// The elements of a tensor as kernels see them, made first when pending.
kernels::View view_of(const Tensor& tensor);
/// The same for a read by the host, of which the observer is told while it records, too.
kernels::View host_view_of(const Tensor& tensor);
/// A new contiguous tensor with uninitialised elements.
Tensor empty(const Type& type);

}  // namespace calque
