// Kernels that put tensors together from pieces: pad, concat, flip.
#include "runtime/kernels/eager.h"

namespace calque::kernels {

namespace {

/// The part of y that begins at `start` along one axis and has `size` steps there.
View part_of(const View& y, int axis, int64_t start, int64_t size) {
  View part = y;
  part.shape.set(axis, size);
  part.data = y.as<char>() + start * y.strides[axis] * static_cast<int64_t>(size_of(y.dtype));
  return part;
}

void fill_zero(const View& y) {
  const int64_t zero = 0;
  copy({const_cast<int64_t*>(&zero), y.dtype, y.shape, {}}, y);
}

}  // namespace

void eager_pad(std::span<const View> inputs, const Attributes& attributes, std::span<const View> results) {
  const View &x = inputs[0], &y = results[0];
  const int axis = static_cast<int>(attributes[0]);
  const int64_t before = attributes[1], size = x.shape[axis];
  fill_zero(part_of(y, axis, 0, before));
  copy(x, part_of(y, axis, before, size));
  fill_zero(part_of(y, axis, before + size, attributes[2]));
}

void eager_concat(std::span<const View> inputs, const Attributes& attributes, std::span<const View> results) {
  const int axis = static_cast<int>(attributes[0]);
  int64_t start = 0;
  for (const View& x : inputs) {
    copy(x, part_of(results[0], axis, start, x.shape[axis]));
    start += x.shape[axis];
  }
}

void eager_flip(std::span<const View> inputs, const Attributes& attributes, std::span<const View> results) {
  View x = inputs[0];
  if (x.shape.element_count() == 0) return;
  for (const int64_t each : attributes.list(0)) {
    const int axis = static_cast<int>(each);
    x.data = x.as<char>() + (x.shape[axis] - 1) * x.strides[axis] * static_cast<int64_t>(size_of(x.dtype));
    x.strides[axis] = -x.strides[axis];
  }
  copy(x, results[0]);
}

}  // namespace calque::kernels
