// Element values for tests: ordinary numbers by a fixed generator, and the special ones; tensors of any
// layout.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <memory>
#include <span>
#include <vector>

#include "calque/ops.h"
#include "ir/graph/literal.h"

namespace calque::test {

/// Numbers that are the same on every machine (Knuth's MMIX generator).
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed * 2862933555777941757u + 3037000493u) {}
  uint64_t next() {
    state_ = state_ * 6364136223846793005u + 1442695040888963407u;
    return state_ >> 33;
  }
  int64_t below(int64_t bound) { return static_cast<int64_t>(next() % static_cast<uint64_t>(bound)); }
  /// Uniform in [low, high).
  double uniform(double low, double high) {
    return low + (high - low) * static_cast<double>(next()) * 0x1p-31;
  }

 private:
  uint64_t state_;
};

/// Floats within 3 of zero, integers within 50, bools of both kinds.
template <class T>
T ordinary(Random& random) {
  if constexpr (std::is_same_v<T, bool>)
    return random.below(2) == 1;
  else if constexpr (std::is_floating_point_v<T>)
    return static_cast<T>(random.uniform(-3, 3));
  else
    return static_cast<T>(random.below(101) - 50);
}

/// The first of special_values() are those that no rule may overlook: of floats NaN, infinities, minus zero, subnormals.
inline constexpr int64_t kFirstSpecials = 6;

/// The values at which rules change: signed zeros, ends of ranges, subnormals, infinities, NaN; where casts
/// saturate.
template <class T>
const std::vector<T>& special_values() {
  using Limits = std::numeric_limits<T>;
  static const std::vector<T> values = [] {
    if constexpr (std::is_same_v<T, bool>)
      return std::vector<T>{false, true};
    else if constexpr (std::is_floating_point_v<T>) {
      std::vector<T> list = {Limits::quiet_NaN(), Limits::infinity(),   -Limits::infinity(),
                             T(-0.0),             Limits::denorm_min(), -Limits::denorm_min(), 0};
      for (T x : {T(0.5), T(1), T(2.5), T(0.625), T(88.7), T(103.9), T(709), T(745), T(2147483648.0), T(9.3e18),
                  Limits::min(), Limits::max(), Limits::epsilon(), Limits::min() / 4})
        for (T sign : {T(1), T(-1)}) list.push_back(sign * x);
      return list;
    } else {
      return std::vector<T>{Limits::min(),
                            Limits::max(),
                            Limits::min() + 1,
                            Limits::max() - 1,
                            -1,
                            0,
                            1,
                            2,
                            -2,
                            3,
                            46341,
                            65536};
    }
  }();
  return values;
}

template <class T>
Tensor tensor_of(const Shape& shape, const std::vector<T>& values) {
  if constexpr (std::is_same_v<T, bool>) {
    const auto copy = std::make_unique<bool[]>(values.size() + 1);
    std::copy(values.begin(), values.end(), copy.get());
    return from_span(std::span<const bool>(copy.get(), values.size()), shape);
  } else {
    return from_span(std::span<const T>(values), shape);
  }
}

/// A contiguous tensor of ordinary values.
inline Tensor ordinary_tensor(const Type& type, uint64_t seed) {
  return with_element_type(type.dtype, [&]<class T>(T) {
    Random random(seed);
    std::vector<T> values;
    for (int64_t i = 0; i < type.shape.element_count(); ++i) values.push_back(ordinary<T>(random));
    return tensor_of(type.shape, values);
  });
}

/// Operand `index` of an op on special values: over the elements of all operands, every pair of values occurs
/// when there are enough elements.
inline Tensor special_tensor(const Type& type, int index) {
  return with_element_type(type.dtype, [&]<class T>(T) {
    const std::vector<T>& special = special_values<T>();
    const int64_t count = static_cast<int64_t>(special.size());
    std::vector<T> values;
    for (int64_t i = 0; i < type.shape.element_count(); ++i)
      values.push_back(special[(index == 0 ? i : i / count + i * (index - 1)) % count]);
    return tensor_of(type.shape, values);
  });
}

/// So many rows of sprinkled_tensor hold one special value each, every one of them once and the first ones twice.
inline constexpr int64_t kRowsOfSpecials = 35 + kFirstSpecials;

/// Ordinary values among which one in each row of the last axis is special; several where there are fewer rows than
/// special values.
inline Tensor sprinkled_tensor(const Type& type, uint64_t seed) {
  return with_element_type(type.dtype, [&]<class T>(T) {
    Random random(seed);
    const std::vector<T>& special = special_values<T>();
    const int64_t columns = type.shape.back(), rows = type.shape.element_count() / columns;
    std::vector<T> values;
    for (int64_t i = 0; i < rows * columns; ++i) values.push_back(ordinary<T>(random));
    for (int64_t i = std::max(rows, std::min(kRowsOfSpecials, rows * columns)); i-- > 0;) {
      const int64_t row = i % rows;
      values[row * columns + (row * 7 + i / rows) % columns] = special[i % special.size()];
    }
    return tensor_of(type.shape, values);
  });
}

/// Ordinary values but for one, the special value of this number.
inline Tensor lone_special_tensor(const Type& type, int64_t special, uint64_t seed) {
  return with_element_type(type.dtype, [&]<class T>(T) {
    Random random(seed);
    std::vector<T> values;
    for (int64_t i = 0; i < type.shape.element_count(); ++i) values.push_back(ordinary<T>(random));
    values[values.size() / 2] = special_values<T>()[special];
    return tensor_of(type.shape, values);
  });
}

/// Ordinary values whose axes lie in the opposite order, with gaps, not at the start of their storage.
inline Tensor strided_tensor(const Type& type, uint64_t seed) {
  const Shape& shape = type.shape;
  if (shape.rank() == 0) return reshape(slice(ordinary_tensor({type.dtype, {3}}, seed), 0, 1, 2), {});
  if (shape.rank() == 1)
    return reshape(slice(ordinary_tensor({type.dtype, {shape[0], 3}}, seed), 1, 1, 2), shape);
  Shape base;
  std::vector<int64_t> axes;
  for (int axis = shape.rank() - 1; axis >= 0; --axis) {
    base.push_back(shape[axis] + 2);
    axes.push_back(axis);
  }
  Tensor result = permute(ordinary_tensor({type.dtype, base}, seed), axes);
  for (int axis = 0; axis < shape.rank(); ++axis) result = slice(result, axis, 1, shape[axis] + 1);
  return result;
}

/// Ordinary values in dense rows with gaps between them.
inline Tensor sliced_tensor(const Type& type, uint64_t seed) {
  Shape base = type.shape;
  base.set(base.rank() - 1, base.back() + 5);
  return slice(ordinary_tensor({type.dtype, base}, seed), -1, 3, type.shape.back() + 3);
}

inline Literal to_literal(const Tensor& tensor) {
  Literal literal(Type{tensor.dtype(), tensor.shape()});
  with_element_type(tensor.dtype(), [&]<class T>(T) {
    const std::vector<T> values = tensor.to_vector<T>();
    std::copy(values.begin(), values.end(), literal.as<T>().begin());
  });
  return literal;
}

inline Tensor to_tensor(const Literal& literal) {
  return with_element_type(literal.type.dtype,
                           [&]<class T>(T) { return from_span(literal.as<T>(), literal.type.shape); });
}

inline std::vector<Literal> to_literals(std::span<const Tensor> tensors) {
  std::vector<Literal> literals;
  for (const Tensor& tensor : tensors) literals.push_back(to_literal(tensor));
  return literals;
}

}  // namespace calque::test
