// What stands between the brackets of x[...]: integers, slices, an ellipsis, new axes.
#pragma once

#include <concepts>
#include <cstdint>
#include <optional>

#pragma GCC visibility push(default)

namespace calque {

/// start:stop:step of one axis, as in Python: Slice{} is all of it, Slice{1, 5}, Slice{{}, -1}, Slice{0, {}, 2}. Negative
/// bounds count from the end, bounds beyond an end mean that end. The step is at least 1.
struct Slice {
  std::optional<int64_t> start = {}, stop = {};
  int64_t step = 1;
};

struct Ellipsis {};
struct NewAxis {};
/// As many whole axes as are left.
inline constexpr Ellipsis ellipsis;
/// A new axis of size 1.
inline constexpr NewAxis newaxis;

/// One entry of an index.
class Index {
 public:
  enum class Kind : uint8_t { integer, slice, ellipsis, newaxis };

  Index(std::integral auto integer) : kind_(Kind::integer), integer_(integer) {}
  Index(const Slice& slice) : kind_(Kind::slice), slice_(slice) {}
  Index(Ellipsis) : kind_(Kind::ellipsis) {}
  Index(NewAxis) : kind_(Kind::newaxis) {}

  Kind kind() const { return kind_; }
  int64_t integer() const { return integer_; }
  const Slice& slice() const { return slice_; }

 private:
  Kind kind_;
  int64_t integer_ = 0;
  Slice slice_;
};

}  // namespace calque

#pragma GCC visibility pop
