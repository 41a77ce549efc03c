// Elements of a tensor as a multidimensional span: loops over x(i, j) without copies.
#pragma once

#include <array>
#include <cassert>
#include <cstdint>
#include <type_traits>
#include <utility>
#if __has_include(<mdspan>)
#include <mdspan>
#endif

#include "calque/tensor.h"

#pragma GCC visibility push(default)

namespace calque {

/// A pointer with sizes and strides (in elements), after std::mdspan with layout_stride, for compilers whose standard library
/// has none: view(i, j), or view[i, j] from C++23 on. Indices are checked by assert only. Owns nothing.
template <class Element, size_t Rank>
class StridedView {
 public:
  using element_type = Element;
  using value_type = std::remove_cv_t<Element>;
  using index_type = int64_t;

  StridedView(Element* data, const std::array<int64_t, Rank>& extents, const std::array<int64_t, Rank>& strides)
      : data_(data), extents_(extents), strides_(strides) {}

  static constexpr size_t rank() { return Rank; }
  int64_t extent(size_t axis) const { return extents_[axis]; }
  int64_t stride(size_t axis) const { return strides_[axis]; }
  Element* data_handle() const { return data_; }
  int64_t size() const {
    int64_t count = 1;
    for (const int64_t extent : extents_) count *= extent;
    return count;
  }

  template <class... Indices>
    requires(sizeof...(Indices) == Rank && (std::is_convertible_v<Indices, int64_t> && ...))
  Element& operator()(Indices... indices) const {
    return data_[offset({static_cast<int64_t>(indices)...})];
  }
#if defined(__cpp_multidimensional_subscript)
  template <class... Indices>
    requires(sizeof...(Indices) == Rank && (std::is_convertible_v<Indices, int64_t> && ...))
  Element& operator[](Indices... indices) const {
    return data_[offset({static_cast<int64_t>(indices)...})];
  }
#endif
#if defined(__cpp_lib_mdspan)
  operator std::mdspan<Element, std::dextents<int64_t, Rank>, std::layout_stride>() const {
    const std::layout_stride::mapping<std::dextents<int64_t, Rank>> mapping(std::dextents<int64_t, Rank>(extents_), strides_);
    return {data_, mapping};
  }
#endif

 private:
  int64_t offset(const std::array<int64_t, Rank>& indices) const {
    int64_t sum = 0;
    for (size_t axis = 0; axis < Rank; ++axis) {
      assert(indices[axis] >= 0 && indices[axis] < extents_[axis]);
      sum += indices[axis] * strides_[axis];
    }
    return sum;
  }

  Element* data_;
  std::array<int64_t, Rank> extents_, strides_;
};

/// The tensor's elements, for reading with a const Element and else for writing (which counts as a write in place):
/// `auto m = as_mdspan<const float, 2>(x); m(i, j)`. Throws UserError when dtype or rank differ. Valid as long as the
/// pointer of Tensor::data() or mutable_data() is.
template <class Element, size_t Rank>
StridedView<Element, Rank> as_mdspan(const Tensor& tensor) {
  if (tensor.rank() != static_cast<int>(Rank))
    throw UserError("as_mdspan: " + to_string(tensor.shape()) + " has not the rank " + std::to_string(Rank));
  std::array<int64_t, Rank> extents, strides;
  for (size_t axis = 0; axis < Rank; ++axis) {
    extents[axis] = tensor.shape()[static_cast<int>(axis)];
    strides[axis] = tensor.stride(static_cast<int64_t>(axis));
  }
  if constexpr (std::is_const_v<Element>) {
    return {tensor.data<std::remove_const_t<Element>>(), extents, strides};
  } else {
    Tensor writable = tensor;
    return {writable.mutable_data<Element>(), extents, strides};
  }
}
/// A view of a tensor that is gone at the end of the line would point nowhere.
template <class Element, size_t Rank>
StridedView<Element, Rank> as_mdspan(Tensor&& tensor) = delete;

}  // namespace calque

#pragma GCC visibility pop
