// Reductions by the tree of ir/op/reduction.h, to the letter.
#include "ir/op/reduction.h"

#include <cmath>

#include "ir/graph/interpret/evaluation.h"
#include "ir/graph/interpret/scalar.h"

namespace calque {

namespace {

template <class T>
struct Sum {
  static T identity() { return reduction::sum_identity<T>(); }
  static T join(T a, T b) { return wrapping_add(a, b); }
};
template <class T>
struct Max {
  static T identity() { return reduction::max_identity<T>(); }
  static T join(T a, T b) { return a >= b || a != a ? a : b; }  // `maximum` of the elementwise table
};

/// Neighbours first, then neighbours of those; an odd last one moves up unchanged.
template <class Reducer, class T>
T join_pairwise(std::vector<T> blocks) {
  if (blocks.empty()) return Reducer::identity();
  while (blocks.size() > 1) {
    std::vector<T> joined;
    for (size_t i = 0; i + 1 < blocks.size(); i += 2)
      joined.push_back(Reducer::join(blocks[i], blocks[i + 1]));
    if (blocks.size() % 2) joined.push_back(blocks.back());
    blocks = joined;
  }
  return blocks[0];
}

/// Element i of the axis is x[first + i * stride]. Innermost axes have lanes, outer ones do not.
template <class Reducer, class T>
T reduce_axis(std::span<const T> x, int64_t first, int64_t count, int64_t stride) {
  using namespace reduction;
  const bool innermost = stride == 1;
  const int64_t block = innermost ? kBlock : kOuterBlock, lane_count = innermost ? kLanes : 1;
  std::vector<T> blocks;
  for (int64_t start = 0; start < count; start += block) {
    std::vector<T> lanes(lane_count, Reducer::identity());
    for (int64_t i = 0; i < block && start + i < count; ++i)
      lanes[i % lane_count] = Reducer::join(lanes[i % lane_count], x[first + (start + i) * stride]);
    for (int64_t half = lane_count / 2; half > 0; half /= 2)
      for (int64_t lane = 0; lane < half; ++lane)
        lanes[lane] = Reducer::join(lanes[lane], lanes[lane + half]);
    blocks.push_back(lanes[0]);
  }
  return join_pairwise<Reducer>(blocks);
}

/// Reduces one axis, which stays with size 1.
template <class Reducer, class T>
Literal reduce(const Literal& x, int axis) {
  Type type = x.type;
  type.shape.set(axis, 1);
  Literal result(type);
  const int64_t count = x.type.shape[axis];
  int64_t stride = 1;
  for (int behind = axis + 1; behind < x.type.shape.rank(); ++behind) stride *= x.type.shape[behind];
  for (int64_t i = 0; i < result.size(); ++i) {
    const int64_t first = i / stride * stride * count + i % stride;
    result.as<T>()[i] = reduce_axis<Reducer>(x.as<T>(), first, count, stride);
  }
  return result;
}

/// All axes, the last one first.
template <template <class> class Reducer>
void interpret_reduction(const Evaluation& evaluation) {
  Literal x = evaluation.input();
  const std::span<const int64_t> axes = evaluation.attributes.list(1);
  with_element_type(x.type.dtype, [&]<class T>(T) {
    if constexpr (!std::is_same_v<T, bool>)
      for (size_t i = axes.size(); i-- > 0;) x = reduce<Reducer<T>, T>(x, static_cast<int>(axes[i]));
  });
  evaluation.result().bytes = x.bytes;
}

}  // namespace

void interpret_sum(const Evaluation& evaluation) { interpret_reduction<Sum>(evaluation); }
void interpret_max(const Evaluation& evaluation) { interpret_reduction<Max>(evaluation); }

void interpret_argmax(const Evaluation& evaluation) {
  const Literal& x = evaluation.input();
  Literal& result = evaluation.result();
  const int axis = static_cast<int>(evaluation.attributes[0]);
  const int64_t count = x.type.shape[axis];
  int64_t stride = 1;
  for (int behind = axis + 1; behind < x.type.shape.rank(); ++behind) stride *= x.type.shape[behind];
  with_element_type(x.type.dtype, [&]<class T>(T) {
    for (int64_t i = 0; i < result.size(); ++i) {
      const T* elements = x.as<T>().data() + i / stride * stride * count + i % stride;
      int64_t best = 0;
      for (int64_t k = 1; k < count; ++k) {
        const T candidate = elements[k * stride], largest = elements[best * stride];
        // A NaN counts as largest; the first of equals stays.
        if (largest == largest && (candidate > largest || candidate != candidate)) best = k;
      }
      result.as<int64_t>()[i] = best;
    }
  });
}

}  // namespace calque
