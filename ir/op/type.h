// Shapes and types of values: what a shape rule computes with.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>

#include "dtype.h"

#pragma GCC visibility push(default)

namespace calque {

inline constexpr int kMaxRank = 6;

/// Sizes of a tensor, outermost axis first. A small value without allocation. Rank 0 is a scalar.
class Shape {
 public:
  constexpr Shape() = default;
  Shape(std::initializer_list<int64_t> dims) : Shape(std::span(dims.begin(), dims.size())) {}
  /// Throws UserError when the rank is over kMaxRank, a size is negative, or the element count overflows.
  explicit Shape(std::span<const int64_t> dims);

  int rank() const { return rank_; }
  int64_t operator[](int axis) const { return dims_[axis]; }
  /// Replaces the size of one axis (already within 0 <= axis < rank).
  void set(int axis, int64_t size) { dims_[axis] = size; }
  void push_back(int64_t size);
  void insert(int axis, int64_t size);
  void erase(int axis);
  int64_t element_count() const {
    int64_t n = 1;
    for (int i = 0; i < rank_; ++i) n *= dims_[i];
    return n;
  }
  int64_t back() const { return dims_[rank_ - 1]; }
  const int64_t* begin() const { return dims_.data(); }
  const int64_t* end() const { return dims_.data() + rank_; }
  std::span<const int64_t> dims() const { return {dims_.data(), static_cast<size_t>(rank_)}; }
  bool operator==(const Shape& other) const {
    return rank_ == other.rank_ && std::equal(begin(), end(), other.begin());
  }

 private:
  std::array<int64_t, kMaxRank> dims_{};
  int rank_ = 0;
};

/// `[16,256]`
std::string to_string(const Shape& shape);

/// Type of a value: dtype and shape.
struct Type {
  DType dtype = DType::f32;
  Shape shape;
  bool operator==(const Type&) const = default;
};

/// `f32[16,256]`
std::string to_string(const Type& type);

/// NumPy broadcasting of two shapes. Throws UserError naming `op` when they do not broadcast.
Shape broadcast_shapes(const Shape& a, const Shape& b, const char* op);

/// Maps a possibly negative axis into 0 <= axis < rank. Throws UserError naming `op` when out of range.
int64_t normalize_axis(int64_t axis, int rank, const char* op);

}  // namespace calque

#pragma GCC visibility pop
