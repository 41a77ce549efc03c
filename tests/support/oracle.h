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

#include "tests/support/elementwise_oracle.h"
#include "tests/support/philox.h"

namespace calque::test {

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
    case Signature::equality:
      return integer(oracle_compare(c.op, x[0], x.back(), is_floating(dtype)), DType::i64);
    case Signature::logical:
      return integer(oracle_logical(c.op, x[0].integer, x.back().integer), DType::i64);
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

/// A product of n factors has n roundings. Where partial products may leave the range of numbers, in whatever order, there is
/// no telling; where factors are special, it is NaN or special itself.
inline Expected oracle_product(const Elements& x, const std::vector<int64_t>& group) {
  const DType dtype = x.type().dtype;
  uint64_t whole = 1;
  long double total = 1, span = 0;
  bool has_zero = false, has_infinity = false, has_nan = false;
  for (int64_t i : group) {
    whole *= static_cast<uint64_t>(x[i].integer);
    const long double factor = x[i].value;
    has_zero |= factor == 0;
    has_infinity |= std::isinf(factor);
    has_nan |= std::isnan(factor);
    if (std::isinf(factor)) total = std::copysign(total, total * factor);
    if (!is_floating(dtype) || factor == 0 || !std::isfinite(factor)) continue;
    total *= factor;
    span += std::fabs(std::log2(std::fabs(factor)));
  }
  if (!is_floating(dtype)) return integer(static_cast<__int128>(whole), dtype);
  if (has_nan || (has_zero && has_infinity)) return exactly(std::nanl(""));
  if (span > (dtype == DType::f32 ? 120 : 1000)) return {{total, 0}, std::numeric_limits<long double>::infinity(), true, true};
  if (has_zero) return {{0, 0}, 0, true};
  if (has_infinity) return exactly(std::copysign(std::numeric_limits<long double>::infinity(), total));
  return {{total, 0}, 2 * static_cast<long double>(group.size()) * epsilon_of(dtype) * std::fabs(total), true};
}

inline Expected oracle_reduction(Op op, const Elements& x, const std::vector<int64_t>& group,
                                 long double divisor = 1) {
  const DType dtype = x.type().dtype;
  if (op == Op::max || op == Op::min) {
    const int sign = op == Op::max ? 1 : -1;
    Number extreme = x[group[0]];
    for (int64_t i : group) {
      if (std::isnan(extreme.value)) break;
      const bool beyond = sign > 0 ? x[i].value > extreme.value : x[i].value < extreme.value;
      if (!is_floating(dtype) ? (sign > 0 ? x[i].integer > extreme.integer : x[i].integer < extreme.integer)
                              : (beyond || std::isnan(x[i].value)))
        extreme = x[i];
    }
    return {extreme, 0, true};
  }
  if (op == Op::prod) return oracle_product(x, group);
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

inline Expected oracle_matmul(const Elements& a, const Elements& b, const Coordinates& at, int rank) {
  const int64_t inner = a.shape().back();
  long double total = 0, magnitude = 0;
  int beyond = 0;  // terms that may leave the range of numbers
  for (int64_t k = 0; k < inner; ++k) {
    Coordinates left = at, right = at;
    left[rank - 1] = right[rank - 2] = k;
    const long double term =
        a[broadcast_position(left, rank, a.shape())].value * b[broadcast_position(right, rank, b.shape())].value;
    total += term;
    magnitude += std::fabs(term);
    beyond += std::fabs(term) > largest_of(a.type().dtype) / 4;
  }
  // Infinities of both signs, or one of them, or neither.
  if (!std::isnan(total) && beyond > 1) return {{total, 0}, INFINITY, true, true};
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
  if (op == Op::gelu_erf)
    return near(0.5L * x * (1 + std::erf(x / std::sqrt(2.0L))), std::min<long double>(std::fabs(x), 30), dtype);
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

inline Expected oracle_variance(const Elements& x, const std::vector<int64_t>& group, long double correction, bool rooted) {
  const DType dtype = x.type().dtype;
  const RowStatistics row = row_statistics(x, group);
  const long double count = static_cast<long double>(group.size());
  const long double freedom = std::max(count - correction, 0.0L), variance = row.variance * count / freedom;
  // Squares that overflow, and what infinities leave, are infinite or NaN.
  if (!(row.variance * count < 0.1L * largest_of(dtype))) return {{variance, 0}, INFINITY, true, true};
  const long double scale = row.magnitude * row.magnitude * count / freedom;
  if (!rooted) return near(variance, scale, dtype);
  return near(std::sqrt(variance), std::sqrt(scale), dtype);
}

inline Expected oracle_logsumexp(const Elements& x, const std::vector<int64_t>& group) {
  long double top = -INFINITY, total = 0;
  for (int64_t k : group) top = std::isnan(x[k].value) || std::isnan(top) ? NAN : std::max(top, x[k].value);
  if (!std::isfinite(top)) return exactly(top);
  for (int64_t k : group) total += std::exp(x[k].value - top);
  return near(top + std::log(total), 1 + std::fabs(top), x.type().dtype);
}

inline Expected oracle_clamp(const Number& x, DType dtype, double low, double high) {
  if (!is_floating(dtype)) {
    const Number least = converted({low, 0}, DType::f64, dtype).number, most = converted({high, 0}, DType::f64, dtype).number;
    return integer(std::min(std::max(x.integer, least.integer), most.integer), dtype);
  }
  if (std::isnan(x.value)) return exactly(x.value);
  return {{std::min(std::max(x.value, rounded(low, dtype)), rounded(high, dtype)), 0}, 0, true};
}

inline Expected oracle_mean_loss(Op op, const Elements& a, const Elements& b) {
  long double loss = 0, scale = 1;
  const Shape shape = broadcast_shapes(a.shape(), b.shape(), "oracle");
  const long double count = static_cast<long double>(shape.element_count());
  for (int64_t i = 0; i < shape.element_count(); ++i) {
    const Coordinates at = coordinates(i, shape);
    const long double x = a[broadcast_position(at, shape.rank(), a.shape())].value,
                      y = b[broadcast_position(at, shape.rank(), b.shape())].value;
    const long double term = op == Op::mse_loss ? (x - y) * (x - y)
                                                : (x < 0 ? 0 : x) + std::log1p(std::exp(-std::fabs(x))) - x * y;
    loss += term / count;
    scale += (std::fabs(term) + std::fabs(x)) / count;
  }
  // Sums that leave the range of numbers are infinite, or NaN where they meet the other infinity.
  if (!(scale * count < 0.1L * largest_of(a.type().dtype))) return {{loss, 0}, INFINITY, true, true};
  return near(loss, scale, a.type().dtype);
}

inline Expected oracle_scatter_add(const Elements& values, const Elements& indices, int64_t axis, const Shape& shape,
                                   int64_t i) {
  axis = axis < 0 ? axis + shape.rank() : axis;
  const Coordinates to = coordinates(i, shape);
  __int128 whole = 0;
  long double total = 0, magnitude = 0;
  for (int64_t k = 0; k < indices.size(); ++k) {
    Coordinates at = coordinates(k, indices.shape());
    at[axis] = indices[k].integer;
    if (at != to) continue;
    whole += values[k].integer;
    total += values[k].value;
    magnitude += std::fabs(values[k].value);
  }
  if (!is_floating(values.type().dtype)) return integer(whole, values.type().dtype);
  if (!std::isfinite(total)) return exactly(total);
  return {{total, 0}, sum_bound(static_cast<long double>(indices.size()), magnitude, values.type().dtype), true};
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
    case Op::every:
      at[axis_at(0)] *= a[1];
      return {0, position(at, x)};
    case Op::flip:
      for (int axis = 0; axis < x.rank(); ++axis) {
        bool is_flipped = a.size() == 0;
        for (int word = 0; word < a.size(); ++word) is_flipped |= axis_at(word) == axis;
        if (is_flipped) at[axis] = x[axis] - 1 - at[axis];
      }
      return {0, position(at, x)};
    case Op::gather:
      at[axis_at(0)] = in[1][i].integer;
      return {0, position(at, x)};
    case Op::index_select: {
      const int axis = static_cast<int>(axis_at(0)), inserted = in[1].shape().rank();
      Coordinates from{}, within{};
      for (int k = 0; k < axis; ++k) from[k] = at[k];
      for (int k = 0; k < inserted; ++k) within[k] = at[axis + k];
      for (int k = axis + 1; k < x.rank(); ++k) from[k] = at[k - 1 + inserted];
      from[axis] = in[1][position(within, in[1].shape())].integer;
      return {0, position(from, x)};
    }
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

/// The first largest; with `turned` the first smallest.
inline Expected oracle_argmax(const Elements& x, const std::vector<int64_t>& group, bool turned) {
  int64_t best = 0;
  for (int64_t k = 1; k < static_cast<int64_t>(group.size()); ++k) {
    const Number &top = turned ? x[group[k]] : x[group[best]], &next = turned ? x[group[best]] : x[group[k]];
    const bool is_settled = std::isnan(x[group[best]].value);
    if (!is_floating(x.type().dtype) ? next.integer > top.integer
                                     : !is_settled && (next.value > top.value || std::isnan(x[group[k]].value)))
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
    case Op::prod:
    case Op::max:
    case Op::min:
      group_by(a.list(1));
      return [=](int, const Shape&, int64_t i) { return oracle_reduction(c.op, in[0], groups[i]); };
    case Op::mean:
      group_by(a.list(1));
      return [=](int, const Shape&, int64_t i) {
        return oracle_reduction(Op::sum, in[0], groups[i], static_cast<long double>(groups[i].size()));
      };
    case Op::argmax:
    case Op::argmin:
      group_by(a.list(0));
      return [=](int, const Shape&, int64_t i) { return oracle_argmax(in[0], groups[i], c.op == Op::argmin); };
    case Op::any:
    case Op::all:
      group_by(a.list(1));
      return [=](int, const Shape&, int64_t i) {
        const auto is_true = [&](int64_t k) { return in[0][k].value != 0 || in[0][k].integer != 0; };
        const auto begin = groups[i].begin(), end = groups[i].end();
        return integer(c.op == Op::any ? std::any_of(begin, end, is_true) : std::all_of(begin, end, is_true), DType::i64);
      };
    case Op::var:
    case Op::std:
      group_by(a.list(2));
      return [=](int, const Shape&, int64_t i) {
        return oracle_variance(in[0], groups[i], static_cast<long double>(a.number(1)), c.op == Op::std);
      };
    case Op::logsumexp:
      group_by(a.list(1));
      return [=](int, const Shape&, int64_t i) { return oracle_logsumexp(in[0], groups[i]); };
    case Op::clamp:
      return [=](int, const Shape&, int64_t i) { return oracle_clamp(in[0][i], in[0].type().dtype, a.number(0), a.number(1)); };
    case Op::one_hot:
      return [=](int, const Shape& shape, int64_t i) {
        const bool is_hot = in[0][i / shape.back()].integer == i % shape.back();
        return is_floating(a.dtype(1)) ? exactly(is_hot) : integer(is_hot, DType::i64);
      };
    case Op::mse_loss:
    case Op::binary_cross_entropy_with_logits:
      return [=](int, const Shape&, int64_t) { return oracle_mean_loss(c.op, in[0], in[1]); };
    case Op::scatter_add:
      return [=](int, const Shape& shape, int64_t i) { return oracle_scatter_add(in[0], in[1], a[0], shape, i); };
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
    case Op::gelu_erf:
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
        return oracle_matmul(in[0], in[1], coordinates(i, shape), shape.rank());
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
