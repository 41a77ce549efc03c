// Comparison of tensors by type and bits; any NaN equals any NaN.
#pragma once

#include <cstring>

#include "calque/tensor.h"

namespace calque {

template <class T>
bool same_elements(const Tensor& a, const Tensor& b) {
  const std::vector<T> x = a.to_vector<T>(), y = b.to_vector<T>();
  for (size_t i = 0; i < x.size(); ++i) {
    const T p = x[i], q = y[i];
    if (std::memcmp(&p, &q, sizeof(T)) != 0 && !(p != p && q != q)) return false;
  }
  return true;
}

inline bool same_bits(const Tensor& a, const Tensor& b) {
  if (a.dtype() != b.dtype() || a.shape() != b.shape()) return false;
  switch (a.dtype()) {
    case DType::f32: return same_elements<float>(a, b);
    case DType::f64: return same_elements<double>(a, b);
    case DType::i64: return same_elements<int64_t>(a, b);
    case DType::i32: return same_elements<int32_t>(a, b);
    case DType::boolean: return same_elements<bool>(a, b);
  }
  return false;
}

}  // namespace calque
