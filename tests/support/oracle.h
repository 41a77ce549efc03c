// An independent oracle for every row of the op table: libm in a wider format with stated bounds, exact
// integers, naive sums with error bounds, index loops written by hand. It shares no code with Calque's
// engines beyond types.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "tests/support/op_cases.h"
#include "tests/support/philox.h"

namespace calque::test {

/// One element in a form that holds every dtype: integers and bools exactly, floats as long double.
struct Number {
  long double value = 0;
  int64_t integer = 0;
};

/// What an element must be: `value` within `bound` (0: the same bits but for NaN), or `integer`. A float that
/// overflows within the bound may be infinite. With `any_zero`, a zero may have either sign; with `or_nan`,
/// NaN is as good.
struct Expected {
  Number number;
  long double bound = 0;
  bool any_zero = false;
  bool or_nan = false;
};

/// A tensor read once, elements in row-major order.
class Elements {
 public:
  explicit Elements(const Tensor& tensor) : type_{tensor.dtype(), tensor.shape()} {
    with_element_type(type_.dtype, [&]<class T>(T) {
      for (T element : tensor.to_vector<T>()) {
        if constexpr (std::is_floating_point_v<T>)
          numbers_.push_back({element, 0});
        else
          numbers_.push_back({static_cast<long double>(element), static_cast<int64_t>(element)});
      }
    });
  }
  const Type& type() const { return type_; }
  const Shape& shape() const { return type_.shape; }
  const Number& operator[](int64_t i) const { return numbers_[i]; }
  int64_t size() const { return static_cast<int64_t>(numbers_.size()); }

 private:
  Type type_;
  std::vector<Number> numbers_;
};

/// Coordinates of element i in row-major order, and back.
using Coordinates = std::array<int64_t, kMaxRank>;
inline Coordinates coordinates(int64_t i, const Shape& shape) {
  Coordinates result{};
  for (int axis = shape.rank() - 1; axis >= 0; --axis) {
    result[axis] = i % shape[axis];
    i /= shape[axis];
  }
  return result;
}
inline int64_t position(const Coordinates& at, const Shape& shape) {
  int64_t i = 0;
  for (int axis = 0; axis < shape.rank(); ++axis) i = i * shape[axis] + at[axis];
  return i;
}
/// The element of an operand that broadcasting puts at `at`, coordinates in a result of `rank` axes: trailing
/// axes line up, size 1 repeats.
inline int64_t broadcast_position(const Coordinates& at, int rank, const Shape& operand) {
  Coordinates own{};
  for (int axis = 0; axis < operand.rank(); ++axis)
    own[axis] = operand[axis] == 1 ? 0 : at[rank - operand.rank() + axis];
  return position(own, operand);
}

inline long double epsilon_of(DType dtype) {
  return dtype == DType::f32 ? std::numeric_limits<float>::epsilon() : std::numeric_limits<double>::epsilon();
}
/// One unit in the last place of `exact`; that of the subnormals below the smallest normal number.
inline long double ulp_of(long double exact, DType dtype) {
  int exponent = 0;
  std::frexp(exact, &exponent);
  return dtype == DType::f32 ? std::ldexp(1.0L, std::max(exponent, -125) - 24)
                             : std::ldexp(1.0L, std::max(exponent, -1021) - 53);
}
inline long double largest_of(DType dtype) {
  return dtype == DType::f32 ? std::numeric_limits<float>::max() : std::numeric_limits<double>::max();
}
/// The nearest number of a float dtype.
inline long double rounded(long double value, DType dtype) {
  return dtype == DType::f32 ? static_cast<long double>(static_cast<float>(value))
                             : static_cast<double>(value);
}

/// An integer reduced to 32 or 64 bits in two's complement.
inline int64_t wrapped(__int128 value, DType dtype) {
  return dtype == DType::i32 ? static_cast<int32_t>(static_cast<uint32_t>(value))
                             : static_cast<int64_t>(static_cast<uint64_t>(value));
}
inline Expected exactly(long double value) { return {{value, 0}, 0, false}; }
inline Expected integer(__int128 value, DType dtype) { return {{0, wrapped(value, dtype)}, 0, false}; }
inline Expected within_ulps(long double exact, long double ulps, DType dtype) {
  if (!std::isfinite(exact) || exact == 0) return exactly(exact);
  return {{exact, 0}, ulps * ulp_of(exact, dtype), true};
}

inline bool agrees(const Number& got, const Expected& expected, DType dtype) {
  if (!is_floating(dtype)) return got.integer == expected.number.integer;
  const long double want = expected.number.value;
  if (expected.or_nan && std::isnan(got.value)) return true;
  if (std::isnan(want) || std::isnan(got.value)) return std::isnan(want) && std::isnan(got.value);
  if (std::isinf(got.value) && !std::isinf(want))
    return expected.bound > 0 && std::signbit(got.value) == std::signbit(want) &&
           std::fabs(want) + expected.bound >= largest_of(dtype);
  if (got.value == 0 && want == 0) return expected.any_zero || std::signbit(got.value) == std::signbit(want);
  if (expected.bound == 0 || std::isinf(want)) return got.value == want;
  return std::fabs(got.value - want) <= expected.bound;
}

// --- elementwise

/// Correctly rounded results of + - * / are within half an ulp of the exact value; long double adds next to
/// nothing.
inline constexpr long double kRounded = 0.501L;

inline Expected oracle_float_unary(Op op, long double x, DType dtype) {
  const bool single = dtype == DType::f32;
  switch (op) {
    case Op::neg:
      return exactly(-x);
    case Op::abs:
      return exactly(std::fabs(x));
    case Op::exp:
      return within_ulps(std::exp(x), single ? 1.1L : 1.5L, dtype);
    case Op::log:
      return x < 0 ? exactly(NAN) : within_ulps(std::log(x), single ? 1.0L : 1.5L, dtype);
    case Op::sqrt:
      return within_ulps(std::sqrt(x), kRounded, dtype);
    case Op::rsqrt:
      return within_ulps(1 / std::sqrt(x), 1.5L, dtype);
    case Op::tanh:
      return within_ulps(std::tanh(x), single ? 2.0L : 3.0L, dtype);
    case Op::sigmoid: {
      const long double e = std::exp(-std::fabs(x)), exact = x < 0 ? e / (1 + e) : 1 / (1 + e);
      if (x < (single ? -88.72L : -709.78L))
        return {{0, 0}, exact, true};  // documented: 0 instead of a subnormal
      return within_ulps(exact, single ? 2.5L : 2.2L, dtype);
    }
    case Op::relu:
      return std::isnan(x) ? exactly(x) : exactly(x >= 0 ? x : 0);
    case Op::floor:
      return exactly(std::floor(x));
    case Op::ndtri:
      return within_ulps(normal_quantile(x), 8.0L, dtype);
    default:
      throw InternalError("oracle: no such unary op");
  }
}

inline Expected oracle_float_binary(Op op, long double a, long double b, DType dtype) {
  const auto nan_or = [&](long double value) {
    return exactly(std::isnan(a) || std::isnan(b) ? std::nanl("") : value);
  };
  switch (op) {
    case Op::add:
      return a + b == 0 ? exactly(a + b) : within_ulps(a + b, kRounded, dtype);
    case Op::sub:
      return a - b == 0 ? exactly(a - b) : within_ulps(a - b, kRounded, dtype);
    case Op::mul:
      return within_ulps(a * b, kRounded, dtype);
    case Op::div:
      return within_ulps(a / b, kRounded, dtype);
    case Op::maximum:
      return nan_or(a >= b ? a : b);
    case Op::minimum:
      return nan_or(a <= b ? a : b);
    default:
      throw InternalError("oracle: no such binary op");
  }
}

inline Expected oracle_integer(Op op, __int128 a, __int128 b, DType dtype) {
  switch (op) {
    case Op::neg:
      return integer(-a, dtype);
    case Op::abs:
      return integer(a < 0 ? -a : a, dtype);
    case Op::relu:
      return integer(std::max<__int128>(a, 0), dtype);
    case Op::add:
      return integer(a + b, dtype);
    case Op::sub:
      return integer(a - b, dtype);
    case Op::mul:
      return integer(a * b, dtype);
    case Op::maximum:
      return integer(std::max(a, b), dtype);
    case Op::minimum:
      return integer(std::min(a, b), dtype);
    case Op::philox:
      return integer(philox53(static_cast<int64_t>(a), static_cast<int64_t>(b)), dtype);
    default:
      throw InternalError("oracle: no such integer op");
  }
}

/// Comparisons of floats in long double, of integers as they are.
inline bool oracle_compare(Op op, const Number& x, const Number& y, bool floating) {
  const auto compare = [op](auto a, auto b) {
    switch (op) {
      case Op::less:
        return a < b;
      case Op::less_equal:
        return a <= b;
      case Op::greater:
        return a > b;
      case Op::greater_equal:
        return a >= b;
      case Op::equal:
        return a == b;
      case Op::not_equal:
        return a != b;
      default:
        throw InternalError("oracle: no such comparison");
    }
  };
  return floating ? compare(x.value, y.value) : compare(x.integer, y.integer);
}

inline Expected oracle_elementwise(const OpCase& c, const std::vector<Elements>& in, const Shape& shape,
                                   int64_t i) {
  const Coordinates at = coordinates(i, shape);
  Number operands[3];
  for (size_t k = 0; k < in.size(); ++k)
    operands[k] = in[k][broadcast_position(at, shape.rank(), in[k].shape())];
  const std::span<const Number> x(operands, in.size());
  const DType dtype = in.back().type().dtype;
  switch (row(c.op).signature) {
    case Signature::compare:
      return integer(oracle_compare(c.op, x[0], x[1], is_floating(dtype)), DType::i64);
    case Signature::logical: {
      const bool a = x[0].integer, b = x.back().integer;
      return integer(c.op == Op::logical_not   ? !a
                     : c.op == Op::logical_and ? (a && b)
                                               : (a || b),
                     DType::i64);
    }
    case Signature::select:
      return {x[0].integer ? x[1] : x[2], 0, false};
    default:
      break;
  }
  if (!is_floating(dtype)) return oracle_integer(c.op, x[0].integer, x.back().integer, dtype);
  return x.size() == 1 ? oracle_float_unary(c.op, x[0].value, dtype)
                       : oracle_float_binary(c.op, x[0].value, x[1].value, dtype);
}

inline Expected converted(const Number& x, DType from, DType to) {
  if (to == DType::boolean) return integer(is_floating(from) ? x.value != 0 : x.integer != 0, DType::i64);
  if (is_floating(to))
    return exactly(is_floating(from) ? rounded(x.value, to)
                                     : rounded(static_cast<long double>(x.integer), to));
  const __int128 low = to == DType::i32 ? INT32_MIN : INT64_MIN,
                 high = to == DType::i32 ? INT32_MAX : INT64_MAX;
  if (!is_floating(from)) return integer(std::clamp<__int128>(x.integer, low, high), to);
  if (std::isnan(x.value)) return integer(0, to);
  if (x.value <= static_cast<long double>(low)) return integer(low, to);
  if (x.value >= static_cast<long double>(high)) return integer(high, to);
  return integer(static_cast<int64_t>(x.value), to);
}

// --- reductions and products

/// How much a sum or an ordered chain of n terms of magnitudes that add up to `total` may be off: no tree of
/// ir/op/reduction.h is deeper than 300 additions below 2^100 elements; a chain is as deep as it is long.
inline long double sum_bound(long double depth, long double total, DType dtype) {
  return (depth + 1) * epsilon_of(dtype) * total + ulp_of(0, dtype);
}

/// For each element of a reduction's result, in order, the elements it is made of.
inline std::vector<std::vector<int64_t>> reduction_groups(const Shape& shape, std::span<const int64_t> axes) {
  std::vector<bool> is_reduced(shape.rank(), axes.empty());
  for (int64_t axis : axes) is_reduced[axis < 0 ? axis + shape.rank() : axis] = true;
  Shape kept = shape;
  for (int axis = 0; axis < shape.rank(); ++axis)
    if (is_reduced[axis]) kept.set(axis, 1);
  std::vector<std::vector<int64_t>> groups(kept.element_count());
  for (int64_t i = 0; i < shape.element_count(); ++i) {
    Coordinates at = coordinates(i, shape);
    for (int axis = 0; axis < shape.rank(); ++axis)
      if (is_reduced[axis]) at[axis] = 0;
    groups[position(at, kept)].push_back(i);
  }
  return groups;
}

inline Expected oracle_reduction(Op op, const Elements& x, const std::vector<int64_t>& group,
                                 long double divisor = 1) {
  const DType dtype = x.type().dtype;
  if (op == Op::max) {
    Number largest = x[group[0]];
    for (int64_t i : group) {
      if (std::isnan(largest.value)) break;
      if (!is_floating(dtype) ? x[i].integer > largest.integer
                              : (x[i].value > largest.value || std::isnan(x[i].value)))
        largest = x[i];
    }
    return {largest, 0, true};
  }
  __int128 whole = 0;
  long double total = 0, magnitude = 0;
  for (int64_t i : group) {
    whole += x[i].integer;
    total += x[i].value;
    magnitude += std::fabs(x[i].value);
  }
  if (!is_floating(dtype)) return integer(whole, dtype);
  if (!std::isfinite(total)) return exactly(total / divisor);
  return {{total / divisor, 0}, sum_bound(300, magnitude / divisor, dtype), true};
}

inline Expected oracle_matmul(const Elements& a, const Elements& b, const Coordinates& at) {
  const int64_t inner = a.shape()[1], columns = b.shape()[1];
  long double total = 0, magnitude = 0;
  for (int64_t k = 0; k < inner; ++k) {
    const long double term = a[at[0] * inner + k].value * b[k * columns + at[1]].value;
    total += term;
    magnitude += std::fabs(term);
  }
  if (!std::isfinite(total)) return exactly(total);
  return {{total, 0}, sum_bound(static_cast<long double>(inner), magnitude, a.type().dtype), true};
}

// --- composites, straight from their definitions

/// 64 epsilon of the largest intermediate (4 of the smallest subnormals near zero), the bound of composites.
inline Expected near(long double exact, long double scale, DType dtype) {
  if (!std::isfinite(exact)) return exactly(exact);
  return {{exact, 0}, 64 * epsilon_of(dtype) * (scale + std::fabs(exact)) + 4 * ulp_of(0, dtype), true};
}

struct RowStatistics {
  long double top = -INFINITY, total = 0, mean = 0, variance = 0, magnitude = 0;
};
inline RowStatistics row_statistics(const Elements& x, const std::vector<int64_t>& group) {
  RowStatistics row;
  const long double count = static_cast<long double>(group.size());
  for (int64_t k : group) {
    row.top = std::isnan(x[k].value) || std::isnan(row.top) ? NAN : std::max(row.top, x[k].value);
    row.magnitude += std::fabs(x[k].value) / count;
    row.mean += x[k].value / count;
  }
  for (int64_t k : group) {
    row.total += std::exp(x[k].value - row.top);
    row.variance += (x[k].value - row.mean) * (x[k].value - row.mean) / count;
  }
  return row;
}

inline Expected oracle_row_composite(const OpCase& c, const Number& x, const RowStatistics& row,
                                     DType dtype) {
  if (c.op == Op::softmax) return near(std::exp(x.value - row.top) / row.total, 1, dtype);
  if (c.op == Op::log_softmax)
    return near(x.value - row.top - std::log(row.total), 1 + std::fabs(x.value), dtype);
  // Where the square overflows, everything is divided by infinity: a zero, or infinity by infinity, which is
  // NaN.
  if (row.variance > 0.1L * largest_of(dtype)) return {{0, 0}, 0, true, std::fabs(x.value) > 1e10L};
  const long double deviation = std::sqrt(row.variance + static_cast<long double>(c.attributes.number(0)));
  return near((x.value - row.mean) / deviation, 1 + row.magnitude / deviation, dtype);
}

inline Expected oracle_cross_entropy(const Elements& logits, const Elements& targets) {
  const int64_t rows = logits.shape()[0], classes = logits.shape()[1];
  long double loss = 0, scale = 1;
  for (int64_t r = 0; r < rows; ++r) {
    long double top = -INFINITY, total = 0;
    for (int64_t k = 0; k < classes; ++k) {
      const long double value = logits[r * classes + k].value;
      top = std::isnan(value) || std::isnan(top) ? NAN : std::max(top, value);
    }
    for (int64_t k = 0; k < classes; ++k) total += std::exp(logits[r * classes + k].value - top);
    const long double term = logits[r * classes + targets[r].integer].value - top - std::log(total);
    loss -= term / static_cast<long double>(rows);
    scale += std::fabs(term);
  }
  return near(loss, scale, logits.type().dtype);
}

inline Expected oracle_pointwise_composite(Op op, long double x, DType dtype) {
  if (op == Op::silu) return near(x / (1 + std::exp(-x)), std::fabs(x) < 1 ? std::fabs(x) : 1, dtype);
  const long double inner = std::sqrt(2 / std::acos(-1.0L)) * (x + 0.044715L * x * x * x);
  return near(0.5L * x * (1 + std::tanh(inner)), std::min<long double>(std::fabs(x), 30), dtype);
}

/// Of element i of random numbers; `state` holds seed and counter.
inline Expected oracle_random(const OpCase& c, const Elements& state, int64_t i) {
  const Attributes& a = c.attributes;
  const int64_t counter = wrapped(static_cast<__int128>(state[1].integer) + i, DType::i64);
  const long double word = static_cast<long double>(philox53(state[0].integer, counter));
  switch (c.op) {
    case Op::rand:
      return exactly(a.dtype(0) == DType::f64 ? word * 0x1p-53L : std::floor(word * 0x1p-29L) * 0x1p-24L);
    case Op::randn:
      return within_ulps(normal_quantile((std::floor(word / 2) + 0.5L) * 0x1p-52L), 8.0L, a.dtype(0));
    case Op::randint: {
      const double product = static_cast<double>(word * 0x1p-53L) * static_cast<double>(a[1] - a[0]);
      return integer(a[0] + static_cast<int64_t>(product), DType::i64);
    }
    default:
      break;
  }
  throw InternalError("oracle: no such random numbers");
}

inline Expected oracle_dropout(const OpCase& c, const Number& x, const Elements& state, DType dtype, int64_t i) {
  const double p = c.attributes.number(0);
  const int64_t counter = wrapped(static_cast<__int128>(state[1].integer) + i, DType::i64);
  if (static_cast<long double>(philox53(state[0].integer, counter)) < p * 0x1p53L) return exactly(0);
  return within_ulps(x.value * rounded(1 / (1 - p), dtype), kRounded, dtype);
}

// --- index maps

/// Of each element of result `result`, which element of which input it is; -1 is a zero.
inline std::pair<int, int64_t> source_of(const OpCase& c, const std::vector<Elements>& in, int result,
                                         const Shape& shape, int64_t i) {
  const Shape& x = in[0].shape();
  const Attributes& a = c.attributes;
  Coordinates at = coordinates(i, shape);
  const auto axis_at = [&](int word) { return a[word] < 0 ? a[word] + x.rank() : a[word]; };
  switch (c.op) {
    case Op::reshape:
    case Op::detach:
      return {0, i};
    case Op::expand:
      return {0, broadcast_position(at, shape.rank(), x)};
    case Op::permute: {
      Coordinates from{};
      for (int axis = 0; axis < x.rank(); ++axis) from[axis_at(axis)] = at[axis];
      return {0, position(from, x)};
    }
    case Op::slice:
      at[axis_at(0)] += a[1] < 0 ? a[1] + x[axis_at(0)] : a[1];
      return {0, position(at, x)};
    case Op::split:
      at[axis_at(1)] += result * shape[axis_at(1)];
      return {0, position(at, x)};
    case Op::pad: {
      int64_t& index = at[axis_at(0)];
      index -= a[1];
      return index < 0 || index >= x[axis_at(0)] ? std::pair<int, int64_t>{0, -1}
                                                 : std::pair<int, int64_t>{0, position(at, x)};
    }
    case Op::concat:
      for (int k = 0;; ++k) {
        if (at[axis_at(0)] < in[k].shape()[axis_at(0)]) return {k, position(at, in[k].shape())};
        at[axis_at(0)] -= in[k].shape()[axis_at(0)];
      }
    case Op::take: {
      const int64_t row_size = x[0] == 0 ? 0 : in[0].size() / x[0];
      return {0, in[1][i / row_size].integer * row_size + i % row_size};
    }
    default:
      throw InternalError(std::string("oracle: no index map for ") + row(c.op).name);
  }
}

inline Expected oracle_index_add(const Elements& values, const Elements& indices, int64_t rows, int64_t i) {
  const int64_t row_size = indices.size() == 0 ? 1 : values.size() / indices.size();
  __int128 whole = 0;
  long double total = 0, magnitude = 0;
  for (int64_t k = 0; k < indices.size(); ++k) {
    if (indices[k].integer != i / row_size || i / row_size >= rows) continue;
    const Number& term = values[k * row_size + i % row_size];
    whole += term.integer;
    total += term.value;
    magnitude += std::fabs(term.value);
  }
  if (!is_floating(values.type().dtype)) return integer(whole, values.type().dtype);
  if (!std::isfinite(total)) return exactly(total);
  return {
      {total, 0}, sum_bound(static_cast<long double>(indices.size()), magnitude, values.type().dtype), true};
}

inline Expected oracle_argmax(const Elements& x, const std::vector<int64_t>& group) {
  int64_t best = 0;
  for (int64_t k = 1; k < static_cast<int64_t>(group.size()); ++k) {
    const Number &top = x[group[best]], &next = x[group[k]];
    if (!is_floating(x.type().dtype)
            ? next.integer > top.integer
            : !std::isnan(top.value) && (next.value > top.value || std::isnan(next.value)))
      best = k;
  }
  return integer(best, DType::i64);
}

// --- all rows

/// What element i of a result must be, as a function; reads the inputs once.
inline std::function<Expected(int result, const Shape& shape, int64_t i)> oracle_of(const OpCase& c) {
  std::vector<Elements> in;
  for (const Tensor& input : c.inputs) in.emplace_back(input);
  const Attributes a = c.attributes;
  if (row(c.op).signature != Signature::none)
    return [=](int, const Shape& shape, int64_t i) { return oracle_elementwise(c, in, shape, i); };
  std::vector<std::vector<int64_t>> groups;
  std::vector<int64_t> group_of;
  std::vector<RowStatistics> statistics;
  const auto group_by = [&](std::span<const int64_t> axes) {
    groups = reduction_groups(in[0].shape(), axes);
    group_of.resize(in[0].size());
    for (size_t g = 0; g < groups.size(); ++g)
      for (int64_t i : groups[g]) group_of[i] = static_cast<int64_t>(g);
  };
  const std::vector<int64_t> last{-1};
  switch (c.op) {
    case Op::full:
      return [=](int, const Shape&, int64_t) {
        return converted({static_cast<long double>(a.number(0)), 0}, DType::f64, a.dtype(1));
      };
    case Op::arange:
      return [=](int, const Shape&, int64_t i) { return converted({0, i}, DType::i64, a.dtype(1)); };
    case Op::cast:
      return
          [=](int, const Shape&, int64_t i) { return converted(in[0][i], in[0].type().dtype, a.dtype(0)); };
    case Op::sum:
    case Op::max:
      group_by(a.list(1));
      return [=](int, const Shape&, int64_t i) { return oracle_reduction(c.op, in[0], groups[i]); };
    case Op::mean:
      group_by(a.list(1));
      return [=](int, const Shape&, int64_t i) {
        return oracle_reduction(Op::sum, in[0], groups[i], static_cast<long double>(groups[i].size()));
      };
    case Op::argmax:
      group_by(a.list(0));
      return [=](int, const Shape&, int64_t i) { return oracle_argmax(in[0], groups[i]); };
    case Op::softmax:
    case Op::log_softmax:
    case Op::layer_norm:
      group_by(c.op == Op::layer_norm ? std::span<const int64_t>(last) : a.list(0));
      for (const std::vector<int64_t>& group : groups) statistics.push_back(row_statistics(in[0], group));
      return [=](int, const Shape&, int64_t i) {
        return oracle_row_composite(c, in[0][i], statistics[group_of[i]], in[0].type().dtype);
      };
    case Op::silu:
    case Op::gelu:
      return [=](int, const Shape&, int64_t i) {
        return oracle_pointwise_composite(c.op, in[0][i].value, in[0].type().dtype);
      };
    case Op::cross_entropy:
      return [=](int, const Shape&, int64_t) { return oracle_cross_entropy(in[0], in[1]); };
    case Op::rand:
    case Op::randn:
    case Op::randint:
      return [=](int, const Shape&, int64_t i) { return oracle_random(c, in[0], i); };
    case Op::dropout:
      return [=](int, const Shape&, int64_t i) {
        return oracle_dropout(c, in[0][i], in[1], in[0].type().dtype, i);
      };
    case Op::matmul:
      return [=](int, const Shape& shape, int64_t i) {
        return oracle_matmul(in[0], in[1], coordinates(i, shape));
      };
    case Op::index_add:
      return [=](int, const Shape&, int64_t i) { return oracle_index_add(in[0], in[1], a[0], i); };
    default:
      return [=](int result, const Shape& shape, int64_t i) {
        const auto [input, from] = source_of(c, in, result, shape, i);
        return from < 0 ? Expected{} : Expected{in[input][from], 0, false};
      };
  }
}

}  // namespace calque::test
