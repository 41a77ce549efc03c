// Shapes and types: checked construction, printing, broadcasting.
#include "ir/op/type.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "ir/op/error.h"

namespace calque {

Shape::Shape(std::span<const int64_t> dims) {
  if (dims.size() > kMaxRank)
    throw UserError(fmt::format("shape: rank {} is over the limit of {}", dims.size(), kMaxRank));
  int64_t elements = 1;
  for (int64_t size : dims) {
    if (size < 0) throw UserError(fmt::format("shape: size {} is negative", size));
    // 8 bytes an element at most: the byte count must fit as well.
    if (size != 0 && elements > (INT64_MAX / 8) / size)
      throw UserError(fmt::format("shape: [{}] has too many elements", fmt::join(dims, ",")));
    if (size != 0) elements *= size;
    dims_[rank_++] = size;
  }
}

void Shape::push_back(int64_t size) { insert(rank_, size); }

void Shape::insert(int axis, int64_t size) {
  if (rank_ == kMaxRank) throw UserError(fmt::format("shape: rank {} is over the limit of {}", rank_ + 1, kMaxRank));
  std::copy_backward(dims_.begin() + axis, dims_.begin() + rank_, dims_.begin() + rank_ + 1);
  dims_[axis] = size;
  ++rank_;
}

void Shape::erase(int axis) {
  std::copy(dims_.begin() + axis + 1, dims_.begin() + rank_, dims_.begin() + axis);
  --rank_;
  dims_[rank_] = 0;
}

std::string to_string(const Shape& shape) { return fmt::format("[{}]", fmt::join(shape.dims(), ",")); }

std::string to_string(const Type& type) { return fmt::format("{}{}", name(type.dtype), to_string(type.shape)); }

Shape broadcast_shapes(const Shape& a, const Shape& b, const char* op) {
  const Shape& longer = a.rank() >= b.rank() ? a : b;
  const Shape& shorter = a.rank() >= b.rank() ? b : a;
  Shape result = longer;
  const int shift = longer.rank() - shorter.rank();
  for (int i = 0; i < shorter.rank(); ++i) {
    const int64_t x = longer[i + shift], y = shorter[i];
    if (x != y && x != 1 && y != 1)
      throw UserError(fmt::format("{}: shapes {} and {} do not broadcast: axis {} has sizes {} and {}", op,
                                  to_string(a), to_string(b), i + shift, a.rank() >= b.rank() ? x : y,
                                  a.rank() >= b.rank() ? y : x));
    if (x == 1) result.set(i + shift, y);
  }
  // When both shapes grew, the element count may no longer fit.
  return result == longer || result == shorter ? result : Shape(result.dims());
}

int64_t normalize_axis(int64_t axis, int rank, const char* op) {
  const int64_t normalized = axis < 0 ? axis + rank : axis;
  if (normalized < 0 || normalized >= rank)
    throw UserError(fmt::format("{}: axis {} is out of range for rank {}", op, axis, rank));
  return normalized;
}

}  // namespace calque
