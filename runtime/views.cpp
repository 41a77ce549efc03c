// Strides and offsets of each view op.
#include "runtime/views.h"

#include "ir/op/error.h"

namespace calque {

namespace {

/// Strides of a reshape without copying: each group of axes whose elements are evenly spaced can be cut anew.
bool reshape_strides(const Shape& from, const Strides& strides, const Shape& to, Strides& result) {
  int source = from.rank() - 1, target = to.rank() - 1;
  if (from.element_count() == 0) {
    int64_t step = 1;
    for (; target >= 0; --target) {
      result[target] = step;
      step *= std::max<int64_t>(to[target], 1);
    }
    return true;
  }
  while (source >= 0 && from[source] == 1) --source;
  while (target >= 0) {
    if (to[target] == 1) {
      result[target--] = 1;
      continue;
    }
    // Grow a group of source axes until it holds whole target axes.
    const int64_t innermost = strides[source];
    int64_t have = from[source], step = innermost, used = to[target];
    result[target--] = step;
    while (used != have) {
      if (used < have) {
        if (target < 0) return false;
        if (to[target] == 1) {
          result[target--] = 1;
          continue;
        }
        step = innermost * used;
        result[target] = step;
        used *= to[target--];
      } else {
        int outer = source - 1;
        while (outer >= 0 && from[outer] == 1) --outer;
        if (outer < 0 || strides[outer] != strides[source] * from[source]) return false;
        source = outer;
        have *= from[source];
      }
    }
    --source;
    while (source >= 0 && from[source] == 1) --source;
  }
  return true;
}

}  // namespace

bool map_view(Op op, const Attributes& attributes, const Shape& base_shape, const Strides& base_strides, int index,
              const Shape& result_shape, ViewMap& map) {
  switch (op) {
    case Op::reshape: return reshape_strides(base_shape, base_strides, result_shape, map.strides);
    case Op::permute:
      for (int i = 0; i < base_shape.rank(); ++i) map.strides[i] = base_strides[attributes[i]];
      return true;
    case Op::expand: {
      const int extra = result_shape.rank() - base_shape.rank();
      for (int i = 0; i < base_shape.rank(); ++i)
        map.strides[i + extra] = base_shape[i] == result_shape[i + extra] ? base_strides[i] : 0;
      return true;
    }
    case Op::detach: map.strides = base_strides; return true;
    case Op::slice:
      map.strides = base_strides;
      map.offset = attributes[1] * base_strides[attributes[0]];
      return true;
    case Op::every:
      map.strides = base_strides;
      map.strides[attributes[0]] *= attributes[1];
      return true;
    case Op::split:
      map.strides = base_strides;
      map.offset = index * result_shape[attributes[1]] * base_strides[attributes[1]];
      return true;
    default: throw InternalError(std::string("not a view: ") + row(op).name);
  }
}

void make_view(Op op, const Attributes& attributes, TensorImpl& base, int index, TensorImpl& result) {
  ViewMap map;
  if (map_view(op, attributes, base.shape, base.strides, index, result.shape, map)) {
    result.strides = map.strides;
    result.offset = base.offset + map.offset;
    result.storage = base.storage;
    return;
  }
  // A reshape that needs its elements in order: copy them so, then cut the copy.
  result.set_contiguous_strides();
  result.storage = Ref<Storage>::adopt(Storage::create(result.shape.element_count() * size_of(result.dtype)));
  kernels::View dense = result.view();
  dense.shape = base.shape;
  TensorImpl ordered;
  ordered.shape = base.shape;
  ordered.set_contiguous_strides();
  dense.strides = ordered.strides;
  kernels::copy(base.view(), dense);
}

}  // namespace calque
