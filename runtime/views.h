// Views at run time: the same storage under another shape, strides and offset.
#pragma once

#include <span>

#include "runtime/tensor_impl.h"

namespace calque {

/// Where a view's elements lie, in terms of those of its base.
struct ViewMap {
  Strides strides{};
  int64_t offset = 0;
};

/// The map of result `index` of a view op over a base with the given shape and strides; false when strides cannot express
/// it (a reshape of permuted elements), so that a copy is needed.
bool map_view(Op op, const Attributes& attributes, const Shape& base_shape, const Strides& base_strides, int index,
              const Shape& result_shape, ViewMap& map);

/// Fills `result` (shape, dtype set) as a view of `base`, or as a reshaped copy where strides do not allow a view.
void make_view(Op op, const Attributes& attributes, TensorImpl& base, int index, TensorImpl& result);

}  // namespace calque
