// Compares elements, for each dtype.
#include "compiler/expected_values.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <type_traits>

#include "ir/op/error.h"

namespace calque {

namespace {

template <class T>
std::vector<T> elements_of(const TensorImpl& tensor) {
  TensorImpl dense;
  dense.shape = tensor.shape;
  dense.set_contiguous_strides();
  std::vector<T> elements(tensor.shape.element_count());
  kernels::copy(tensor.view(), {elements.data(), tensor.dtype, dense.shape, dense.strides});
  return elements;
}

template <class T>
bool is_same(T a, T b) {
  return std::memcmp(&a, &b, sizeof(T)) == 0 || (a != a && b != b);
}

/// How far apart sums may be that were added in another order. What is no float may follow from a float by a comparison, and be
/// anything.
template <class T>
bool is_close(T a, T b, double largest) {
  if constexpr (std::is_floating_point_v<T>) {
    constexpr double kBound = std::is_same_v<T, float> ? 1e-3 : 1e-10;
    return std::fabs(static_cast<double>(a) - static_cast<double>(b)) <= kBound * (1 + largest) ||
           (!std::isfinite(a) && !std::isfinite(b));
  }
  return true;
}

template <class T>
double largest_of(const std::vector<T>& elements) {
  double largest = 0;
  for (T element : elements)
    if (const double size = std::fabs(static_cast<double>(element)); std::isfinite(size)) largest = std::max(largest, size);
  return largest;
}

template <class T>
void check_elements(const TensorImpl& made, const TensorImpl& expected, uint32_t number, bool is_exact) {
  const std::vector<T> ours = elements_of<T>(made), theirs = elements_of<T>(expected);
  const double largest = is_exact ? 0 : largest_of(theirs);
  for (size_t i = 0; i < ours.size(); ++i)
    if (!is_same(ours[i], theirs[i]) && (is_exact || !is_close(ours[i], theirs[i], largest)))
      throw InternalError(fmt::format("verify: value {} of the segment differs at element {}: eager {}, compiled {}", number, i,
                                      theirs[i], ours[i]));
}

}  // namespace

std::vector<bool> values_behind_gradients(const Graph& program) {
  std::vector<bool> behind(program.value_count());
  for (const Node& node : program.nodes()) {
    const bool is_behind =
        node.op == Op::grad || std::ranges::any_of(node.inputs, [&](ValueId input) { return behind[input]; });
    for (uint32_t i = 0; i < node.result_count; ++i) behind[node.result(i)] = is_behind;
  }
  return behind;
}

void check_value(const TensorImpl& made, const TensorImpl& expected, uint32_t number, bool is_exact) {
  switch (made.dtype) {
    case DType::f32: return check_elements<float>(made, expected, number, is_exact);
    case DType::f64: return check_elements<double>(made, expected, number, is_exact);
    case DType::i64: return check_elements<int64_t>(made, expected, number, is_exact);
    case DType::i32: return check_elements<int32_t>(made, expected, number, is_exact);
    case DType::boolean: return check_elements<uint8_t>(made, expected, number, is_exact);
  }
}

}  // namespace calque
