// The element types of tensors: names, sizes and categories.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <type_traits>

#pragma GCC visibility push(default)

namespace calque {

/// Element type of a tensor. `boolean` is stored as one byte, 0 or 1.
enum class DType : uint8_t { f32, f64, i64, i32, boolean };

inline constexpr DType kAllDTypes[] = {DType::f32, DType::f64, DType::i64, DType::i32, DType::boolean};

/// Bytes of one element.
constexpr size_t size_of(DType dtype) {
  switch (dtype) {
    case DType::f32:
    case DType::i32: return 4;
    case DType::f64:
    case DType::i64: return 8;
    case DType::boolean: return 1;
  }
  return 0;
}

/// Name as printed in IR text: f32, f64, i64, i32, bool.
constexpr std::string_view name(DType dtype) {
  switch (dtype) {
    case DType::f32: return "f32";
    case DType::f64: return "f64";
    case DType::i64: return "i64";
    case DType::i32: return "i32";
    case DType::boolean: return "bool";
  }
  return "?";
}

constexpr std::optional<DType> dtype_named(std::string_view text) {
  for (DType dtype : kAllDTypes)
    if (name(dtype) == text) return dtype;
  return std::nullopt;
}

constexpr bool is_floating(DType dtype) { return dtype == DType::f32 || dtype == DType::f64; }
constexpr bool is_integer(DType dtype) { return dtype == DType::i64 || dtype == DType::i32; }
constexpr bool is_numeric(DType dtype) { return dtype != DType::boolean; }

/// The DType that stores a C++ element type: `dtype_of<float> == DType::f32`.
template <class T>
inline constexpr DType dtype_of = [] {
  if constexpr (std::is_same_v<T, float>) return DType::f32;
  else if constexpr (std::is_same_v<T, double>) return DType::f64;
  else if constexpr (std::is_same_v<T, int64_t>) return DType::i64;
  else if constexpr (std::is_same_v<T, int32_t>) return DType::i32;
  else {
    static_assert(std::is_same_v<T, bool>, "no DType stores this C++ type");
    return DType::boolean;
  }
}();

}  // namespace calque

#pragma GCC visibility pop
