// An array whose size is known when it is made: small ones lie in the object, large ones come from the
// thread's free lists.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <utility>

#include "runtime/pool.h"

namespace calque {

template <class T, size_t kInline>
class InlineArray {
 public:
  explicit InlineArray(size_t size = 0)
      : size_(size),
        items_(size <= kInline ? inline_items() : static_cast<T*>(memory::allocate(size * sizeof(T)))) {
    std::uninitialized_value_construct_n(items_, size_);
  }
  ~InlineArray() {
    std::destroy_n(items_, size_);
    if (size_ > kInline) memory::free(items_, size_ * sizeof(T));
  }
  InlineArray(InlineArray&& other) noexcept : size_(other.size_), items_(other.items_) {
    if (size_ > kInline) {
      other.size_ = 0;
      other.items_ = other.inline_items();
      return;
    }
    items_ = inline_items();
    std::uninitialized_move_n(other.items_, size_, items_);
  }
  InlineArray& operator=(InlineArray&&) = delete;

  size_t size() const { return size_; }
  T* data() { return items_; }
  const T* data() const { return items_; }
  T& operator[](size_t i) { return items_[i]; }
  const T& operator[](size_t i) const { return items_[i]; }
  T* begin() { return items_; }
  T* end() { return items_ + size_; }
  const T* begin() const { return items_; }
  const T* end() const { return items_ + size_; }

 private:
  T* inline_items() { return reinterpret_cast<T*>(inline_); }

  size_t size_;
  T* items_;
  alignas(T) std::byte inline_[kInline * sizeof(T)];
};

}  // namespace calque
