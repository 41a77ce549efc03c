// Reductions by the tree of ir/op/reduction.h, to the letter.
#include "ir/op/reduction.h"

#include <cstring>

#include "ir/graph/interpret/evaluation.h"
#include "ir/graph/interpret/scalar.h"

namespace calque {

namespace {

/// The identity and the join of a reduction for one dtype, as its row says.
class Reducer {
 public:
  Reducer(Op op, DType dtype) : join_(scalar_program(row(op).join, dtype, dtype)) {
    with_element_type(dtype, [&]<class T>(T) {
      if constexpr (!std::is_same_v<T, bool>) {
        const T identity = convert_number<T>(identity_value(row(op).identity));
        std::memcpy(&identity_, &identity, sizeof identity);
      }
    });
  }
  ScalarBits identity() const { return identity_; }
  ScalarBits join(ScalarBits a, ScalarBits b) const {
    const ScalarBits arguments[] = {a, b};
    return run_program(join_, arguments);
  }

 private:
  const ScalarProgram& join_;
  ScalarBits identity_ = 0;
};

/// Neighbours first, then neighbours of those; an odd last one moves up unchanged.
ScalarBits join_pairwise(const Reducer& reducer, std::vector<ScalarBits> blocks) {
  if (blocks.empty()) return reducer.identity();
  while (blocks.size() > 1) {
    std::vector<ScalarBits> joined;
    for (size_t i = 0; i + 1 < blocks.size(); i += 2) joined.push_back(reducer.join(blocks[i], blocks[i + 1]));
    if (blocks.size() % 2) joined.push_back(blocks.back());
    blocks = joined;
  }
  return blocks[0];
}

ScalarBits element(const Literal& x, int64_t i) {
  const size_t size = size_of(x.type.dtype);
  ScalarBits bits = 0;
  std::memcpy(&bits, x.bytes.data() + i * size, size);
  return bits;
}

/// Element i of the axis is x[first + i * stride]. Innermost axes have lanes, outer ones do not.
ScalarBits reduce_axis(const Reducer& reducer, const Literal& x, int64_t first, int64_t count, int64_t stride) {
  using namespace reduction;
  const bool innermost = stride == 1;
  const int64_t block = innermost ? kBlock : kOuterBlock, lane_count = innermost ? kLanes : 1;
  std::vector<ScalarBits> blocks;
  for (int64_t start = 0; start < count; start += block) {
    std::vector<ScalarBits> lanes(lane_count, reducer.identity());
    for (int64_t i = 0; i < block && start + i < count; ++i)
      lanes[i % lane_count] = reducer.join(lanes[i % lane_count], element(x, first + (start + i) * stride));
    for (int64_t half = lane_count / 2; half > 0; half /= 2)
      for (int64_t lane = 0; lane < half; ++lane) lanes[lane] = reducer.join(lanes[lane], lanes[lane + half]);
    blocks.push_back(lanes[0]);
  }
  return join_pairwise(reducer, std::move(blocks));
}

/// Reduces one axis, which stays with size 1.
Literal reduce(const Reducer& reducer, const Literal& x, int axis) {
  Type type = x.type;
  type.shape.set(axis, 1);
  Literal result(type);
  const int64_t count = x.type.shape[axis];
  int64_t stride = 1;
  for (int behind = axis + 1; behind < x.type.shape.rank(); ++behind) stride *= x.type.shape[behind];
  const size_t size = size_of(type.dtype);
  for (int64_t i = 0; i < result.size(); ++i) {
    const int64_t first = i / stride * stride * count + i % stride;
    const ScalarBits bits = reduce_axis(reducer, x, first, count, stride);
    std::memcpy(result.bytes.data() + i * size, &bits, size);
  }
  return result;
}

/// All axes, the last one first.
void interpret_reduction(const Evaluation& evaluation) {
  Literal x = evaluation.input();
  const Reducer reducer(evaluation.op, x.type.dtype);
  const std::span<const int64_t> axes = evaluation.attributes.list(1);
  for (size_t i = axes.size(); i-- > 0;) x = reduce(reducer, x, static_cast<int>(axes[i]));
  evaluation.result().bytes = x.bytes;
}

}  // namespace

#define REDUCTION(name, ...) \
  void interpret_##name(const Evaluation& evaluation) { interpret_reduction(evaluation); }
#include "ir/op/all_reductions.inc"

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
