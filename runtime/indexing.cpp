// x[...]: an index as a chain of views.
#include "calque/indexing.h"

#include <fmt/format.h>

#include <algorithm>
#include <span>

#include "calque/tensor.h"
#include "runtime/dispatch.h"

namespace calque {

namespace {

#define CALQUE_USER_LOCATION __builtin_extract_return_addr(__builtin_return_address(0))

/// Walks the entries of an index over the axes of a tensor.
class Indexing {
 public:
  Indexing(const Tensor& x, const void* location) : original_(x), x_(x), location_(location) {}

  Tensor apply(std::span<const Index> entries) {
    const int whole = whole_axes(entries);
    bool has_ellipsis = false;
    for (const Index& entry : entries) {
      has_ellipsis |= entry.kind() == Index::Kind::ellipsis;
      apply(entry, whole);
    }
    if (!has_ellipsis) keep(whole);
    return shape_ == x_.shape() ? x_ : view(Op::reshape, Attributes::of(Ints(shape_)));
  }

 private:
  /// How many axes no entry speaks of.
  int whole_axes(std::span<const Index> entries) const {
    const auto count = [&](Index::Kind kind) {
      return static_cast<int>(std::count_if(entries.begin(), entries.end(), [&](const Index& e) { return e.kind() == kind; }));
    };
    const int named = count(Index::Kind::integer) + count(Index::Kind::slice), rank = original_.rank();
    if (count(Index::Kind::ellipsis) > 1) throw UserError("index: more than one ellipsis");
    if (named > rank)
      throw UserError(fmt::format("index: {} entries for the {} axes of {}", named, rank, to_string(original_.shape())));
    return rank - named;
  }

  void apply(const Index& entry, int whole) {
    switch (entry.kind()) {
      case Index::Kind::integer: return pick(entry.integer());
      case Index::Kind::slice: return cut(entry.slice());
      case Index::Kind::ellipsis: return keep(whole);
      case Index::Kind::newaxis: shape_.push_back(1);
    }
  }

  void keep(int axes) {
    for (; axes > 0; --axes) shape_.push_back(x_.shape()[axis_++]);
  }

  void pick(int64_t index) {
    const int64_t size = x_.shape()[axis_], place = index < 0 ? index + size : index;
    if (place < 0 || place >= size)
      throw UserError(fmt::format("index: {} is out of range for axis {} of {}", index, axis_, to_string(original_.shape())));
    if (size != 1) x_ = view(Op::slice, Attributes::of(int64_t{axis_}, place, place + 1));
    ++axis_;
  }

  void cut(const Slice& slice) {
    if (slice.step < 1)
      throw UserError(fmt::format("index: the step {} of axis {} is below 1; for the opposite order there is flip", slice.step,
                                  axis_));
    const int64_t size = x_.shape()[axis_];
    const auto bound = [&](std::optional<int64_t> given, int64_t otherwise) {
      const int64_t value = given.value_or(otherwise);
      return std::clamp<int64_t>(value < 0 ? value + size : value, 0, size);
    };
    const int64_t start = bound(slice.start, 0), stop = std::max(bound(slice.stop, size), start);
    if (stop - start != size) x_ = view(Op::slice, Attributes::of(int64_t{axis_}, start, stop));
    if (slice.step > 1) x_ = view(Op::every, Attributes::of(int64_t{axis_}, slice.step));
    shape_.push_back(x_.shape()[axis_++]);
  }

  Tensor view(Op op, const Attributes& attributes) const { return run_op(op, {&x_, 1}, attributes, location_)[0]; }

  const Tensor original_;
  Tensor x_;         // cut so far, with all its axes
  Shape shape_;      // of the result so far
  int axis_ = 0;     // of x_, which comes next
  const void* location_;
};

}  // namespace

Tensor Tensor::operator[](const Index& index) const { return Indexing(*this, CALQUE_USER_LOCATION).apply({&index, 1}); }

Tensor Tensor::operator[](std::initializer_list<Index> indices) const {
  return Indexing(*this, CALQUE_USER_LOCATION).apply({indices.begin(), indices.size()});
}

}  // namespace calque
