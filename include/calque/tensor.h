// Tensors: what a user holds. A Tensor is a handle; copies share elements, history and gradient.
#pragma once

#include <atomic>
#include <cstdint>
#include <initializer_list>
#include <iosfwd>
#include <span>
#include <utility>
#include <vector>

#include "calque/indexing.h"
#include "ir/op/attributes.h"
#include "ir/op/dtype.h"
#include "ir/op/error.h"
#include "ir/op/type.h"

#pragma GCC visibility push(default)

namespace calque {

struct TensorImpl;

namespace detail {
void retain(TensorImpl* impl) noexcept;
void release(TensorImpl* impl) noexcept;
}  // namespace detail

class Tensor {
 public:
  /// The empty handle: no tensor at all.
  Tensor() = default;
  Tensor(const Tensor& other) noexcept : impl_(other.impl_) {
    if (impl_) detail::retain(impl_);
  }
  Tensor(Tensor&& other) noexcept : impl_(std::exchange(other.impl_, nullptr)) {}
  Tensor& operator=(Tensor other) noexcept {
    TensorImpl* const before = impl_;
    // Atomic, since another thread may be looking for the variable that holds its tensor (impl_while_assigned).
    std::atomic_ref(impl_).store(other.impl_, std::memory_order_relaxed);
    other.impl_ = before;
    return *this;
  }
  ~Tensor() {
    if (impl_) detail::release(impl_);
  }
  explicit operator bool() const { return impl_ != nullptr; }
  /// Whether both handles hold the very same tensor (not: equal elements).
  bool is_same(const Tensor& other) const { return impl_ == other.impl_; }

  DType dtype() const;
  const Shape& shape() const;
  int rank() const { return shape().rank(); }
  /// Size of one axis; negative axes count from the end. Throws UserError when out of range.
  int64_t size(int64_t axis) const;
  /// Elements from one index of an axis to the next; negative axes count from the end.
  int64_t stride(int64_t axis) const;
  int64_t element_count() const { return shape().element_count(); }
  bool is_contiguous() const;
  /// This tensor if its elements lie in row-major order, else a copy that does.
  Tensor contiguous() const;
  /// How often the elements were written in place, through any view of them.
  uint32_t version() const;

  /// First element; the elements follow by strides (row-major when is_contiguous()). Throws UserError when T is not the
  /// dtype. Runs whatever a compiled function has left pending for them. Valid until the tensor is written or released.
  template <class T>
  const T* data() const {
    return static_cast<const T*>(raw_data(dtype_of<T>));
  }
  /// The same for writing; counts as a write in place.
  template <class T>
  T* mutable_data() {
    return static_cast<T*>(mutable_raw_data(dtype_of<T>));
  }
  /// The only element, as a double. Throws UserError when there is not exactly one.
  double item() const;
  /// Elements in row-major order. Throws UserError when T is not the dtype.
  template <class T>
  std::vector<T> to_vector() const {
    std::vector<T> result(element_count());
    if constexpr (std::is_same_v<T, bool>) {
      const Tensor dense = contiguous();
      const bool* elements = dense.data<bool>();
      result.assign(elements, elements + result.size());
    } else {
      copy_to(result.data(), dtype_of<T>);
    }
    return result;
  }

  bool requires_grad() const;
  /// Asks for gradients of a leaf (a tensor that no recorded op made). Floating dtypes only, else UserError.
  Tensor& set_requires_grad(bool value = true);
  /// The gradient that backward() added up here; empty when there is none.
  Tensor grad() const;
  void set_grad(const Tensor& gradient);
  /// Drops the gradient.
  void clear_grad();
  /// Adds to .grad() of every leaf the gradient of this tensor, weighted by `gradient` (same type; may be left out for
  /// a tensor of one element). Frees nothing: a second call adds again.
  void backward(const Tensor& gradient) const;
  void backward() const;
  /// The same elements without history.
  Tensor detach() const;

  // x[...]: views of the elements, as in NumPy. Throws UserError for an integer out of range, or more entries than axes.
  /// x[2] drops the first axis; x[Slice{1, 3}] keeps it.
  Tensor operator[](const Index& index) const;
  /// x[{0, Slice{1, -1}, ellipsis, newaxis}]; x[{...}].assign_(y) writes there.
  Tensor operator[](std::initializer_list<Index> indices) const;

  // Writes in place, seen through every view of the elements; the operand is broadcast. While gradients are recorded, the
  // history follows as if new values had been computed. Throws UserError when the result is of another type, for a leaf that
  // requires grad (write inside a NoGradGuard), and for an expanded tensor. See docs/in-place.md.
  Tensor& assign_(const Tensor& source);
  Tensor& fill_(double value);
  Tensor& zero_() { return fill_(0); }
  Tensor& add_(const Tensor& operand);
  Tensor& add_(double operand);
  Tensor& sub_(const Tensor& operand);
  Tensor& sub_(double operand);
  Tensor& mul_(const Tensor& operand);
  Tensor& mul_(double operand);
  Tensor& div_(const Tensor& operand);
  Tensor& div_(double operand);
  Tensor& clamp_(double low, double high);

  TensorImpl* impl() const { return impl_; }
  /// The same while another thread may be assigning to this handle: to compare, not to follow.
  TensorImpl* impl_while_assigned() const {
    return std::atomic_ref(const_cast<TensorImpl*&>(impl_)).load(std::memory_order_relaxed);
  }
  /// Takes over one reference.
  static Tensor adopt(TensorImpl* impl) {
    Tensor tensor;
    tensor.impl_ = impl;
    return tensor;
  }
  static Tensor share(TensorImpl* impl) {
    detail::retain(impl);
    return adopt(impl);
  }

 private:
  const void* raw_data(DType dtype) const;
  void* mutable_raw_data(DType dtype);
  void copy_to(void* destination, DType dtype) const;

  TensorImpl* impl_ = nullptr;
};

/// Prints as NumPy does (calque/print.h has the options): `tensor([[1. , 2.5], [3. , 4. ]], dtype=f32)`.
std::ostream& operator<<(std::ostream& stream, const Tensor& tensor);

/// A tensor holding a copy of `values` in row-major order. UserError when their number is not that of the shape.
template <class T>
Tensor from_span(std::span<const T> values, const Shape& shape);
template <class T>
Tensor from_vector(const std::vector<T>& values, const Shape& shape) {
  return from_span(std::span<const T>(values), shape);
}
template <class T>
Tensor from_vector(const std::vector<T>& values) {
  return from_span(std::span<const T>(values), Shape{static_cast<int64_t>(values.size())});
}
/// A 0-d tensor.
template <class T>
Tensor from_value(T value) {
  return from_span(std::span<const T>(&value, 1), Shape{});
}

Tensor zeros(const Shape& shape, DType dtype = DType::f32);
Tensor ones(const Shape& shape, DType dtype = DType::f32);

}  // namespace calque

#pragma GCC visibility pop
