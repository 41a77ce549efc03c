// Kernels that make tensors from nothing or from other dtypes: full, arange, cast.
#include <algorithm>
#include <limits>

#include "runtime/kernels/eager.h"
#include "runtime/kernels/elementwise.h"
#include "runtime/kernels/scratch.h"
#include "runtime/thread_pool.h"

namespace calque::kernels {

namespace {

/// The integer as the dtype casts it: i64 to i32 saturates.
template <class T>
T from_index(int64_t i) {
  if constexpr (std::is_same_v<T, int32_t>) i = std::min<int64_t>(i, std::numeric_limits<int32_t>::max());
  return static_cast<T>(i);
}

template <class T>
void fill_range(const View& y) {
  parallel_for(y.shape.element_count(), kWorthAThread, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) y.as<T>()[i] = from_index<T>(i);
  });
}

}  // namespace

void eager_full(std::span<const View>, const Attributes& attributes, std::span<const View> results) {
  // One element, cast from f64 and repeated.
  const double value = attributes.number(0);
  const View& y = results[0];
  int64_t element = 0;  // of any dtype
  const void* in[] = {&value};
  constexpr int64_t kStep = 0;
  elementwise_kernels().cast[static_cast<int>(DType::f64)][static_cast<int>(y.dtype)](1, &element, in,
                                                                                      &kStep);
  copy({&element, y.dtype, y.shape, {}}, y);
}

void eager_arange(std::span<const View>, const Attributes&, std::span<const View> results) {
  switch (results[0].dtype) {
    case DType::f32:
      return fill_range<float>(results[0]);
    case DType::f64:
      return fill_range<double>(results[0]);
    case DType::i32:
      return fill_range<int32_t>(results[0]);
    default:
      return fill_range<int64_t>(results[0]);
  }
}

void eager_cast(std::span<const View> inputs, const Attributes&, std::span<const View> results) {
  const View &x = inputs[0], &y = results[0];
  if (x.dtype == y.dtype) return copy(x, y);
  run_elementwise(elementwise_kernels().cast[static_cast<int>(x.dtype)][static_cast<int>(y.dtype)], inputs, y,
                  1);
}

}  // namespace calque::kernels
