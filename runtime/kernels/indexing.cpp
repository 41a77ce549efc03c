// Kernels that read row numbers: take, index_add, gather, scatter_add.
#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <vector>

#include "ir/op/error.h"
#include "runtime/kernels/eager.h"
#include "runtime/kernels/elementwise.h"
#include "runtime/kernels/scratch.h"
#include "runtime/thread_pool.h"

namespace calque::kernels {

namespace {

void fill_zero(const View& y) {
  const int64_t zero = 0;
  copy({const_cast<int64_t*>(&zero), y.dtype, y.shape, {}}, y);
}

/// The indices in row-major order, each checked to name one of `rows` rows.
std::vector<int64_t> row_numbers(const View& indices, int64_t rows, const char* op) {
  Scratch scratch;
  const View dense = contiguous(indices, scratch);
  std::vector<int64_t> numbers(dense.shape.element_count());
  if (dense.dtype == DType::i64)
    std::copy_n(dense.as<int64_t>(), numbers.size(), numbers.begin());
  else
    std::copy_n(dense.as<int32_t>(), numbers.size(), numbers.begin());
  for (size_t i = 0; i < numbers.size(); ++i)
    if (numbers[i] < 0 || numbers[i] >= rows)
      throw UserError(
          fmt::format("{}: index {} at position {} is out of range for {} rows", op, numbers[i], i, rows));
  return numbers;
}

/// One row of a table: the axes behind the first.
View row_of(const View& table, int64_t row) {
  View view{table.as<char>() + row * table.strides[0] * static_cast<int64_t>(size_of(table.dtype)),
            table.dtype,
            {},
            {}};
  for (int axis = 1; axis < table.shape.rank(); ++axis) {
    view.strides[axis - 1] = table.strides[axis];
    view.shape.push_back(table.shape[axis]);
  }
  return view;
}

}  // namespace

void check_row_numbers(const View& indices, int64_t rows, const char* op) { row_numbers(indices, rows, op); }

void eager_take(std::span<const View> inputs, const Attributes&, std::span<const View> results) {
  const View &table = inputs[0], &y = results[0];
  const std::vector<int64_t> rows = row_numbers(inputs[1], table.shape[0], "take");
  if (y.shape.element_count() == 0) return;
  const View first = row_of(table, 0);
  const int64_t width = first.shape.element_count(), bytes = width * static_cast<int64_t>(size_of(y.dtype));
  const bool whole = is_contiguous(first);
  const int64_t grain = std::max<int64_t>(kWorthAThread / width, 1);
  const auto take_rows = [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const View row = row_of(table, rows[i]);
      char* out = y.as<char>() + i * bytes;
      if (whole)
        std::memcpy(out, row.data, bytes);
      else
        copy(row, contiguous_view(out, y.dtype, row.shape));
    }
  };
  parallel_for(static_cast<int64_t>(rows.size()), grain, take_rows);
}

void eager_index_add(std::span<const View> inputs, const Attributes& attributes,
                     std::span<const View> results) {
  const View& y = results[0];
  const std::vector<int64_t> rows = row_numbers(inputs[1], attributes[0], "index_add");
  fill_zero(y);
  if (rows.empty() || y.shape.element_count() == 0) return;
  Scratch scratch;
  const View values = contiguous(inputs[0], scratch);
  const int64_t count = static_cast<int64_t>(rows.size()), width = values.shape.element_count() / count;
  const int64_t size = static_cast<int64_t>(size_of(y.dtype));
  const InnerLoop add =
      elementwise_kernels().rows[static_cast<int>(ElementwiseRow::add)][static_cast<int>(y.dtype)];
  // Each thread adds all rows, in order, in columns of its own.
  const int64_t grain = std::max<int64_t>(kWorthAThread / count, 16);
  parallel_for(width, grain, [&](int64_t begin, int64_t end) {
    constexpr int64_t steps[] = {1, 1};
    for (int64_t i = 0; i < count; ++i) {
      char* sum = y.as<char>() + (rows[i] * width + begin) * size;
      const void* in[] = {sum, values.as<char>() + (i * width + begin) * size};
      add(end - begin, sum, in, steps);
    }
  });
}

namespace {

/// A tensor around one axis: [before, size, behind].
struct AxisSplit {
  int64_t before = 1, behind = 1;
};
AxisSplit around(const Shape& shape, int axis) {
  AxisSplit split;
  for (int i = 0; i < axis; ++i) split.before *= shape[i];
  for (int i = axis + 1; i < shape.rank(); ++i) split.behind *= shape[i];
  return split;
}

/// Calls f(element of the indexed tensor, element of the indices), in the order of the indices. `size` is that of the
/// indexed tensor's axis; `count` that of the indices'.
template <class F>
void for_pointed(const AxisSplit& split, int64_t size, int64_t count, const std::vector<int64_t>& numbers, F f) {
  const int64_t grain = std::max<int64_t>(kWorthAThread / std::max<int64_t>(count * split.behind, 1), 1);
  parallel_for(split.before, grain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i)
      for (int64_t k = 0; k < count; ++k)
        for (int64_t j = 0; j < split.behind; ++j) {
          const int64_t from = (i * count + k) * split.behind + j;
          f((i * size + numbers[from]) * split.behind + j, from);
        }
  });
}

template <class Word>
void gather_words(const View& x, const View& y, int axis, const std::vector<int64_t>& numbers) {
  const auto* from = x.as<const Word>();
  auto* to = y.as<Word>();
  for_pointed(around(y.shape, axis), x.shape[axis], y.shape[axis], numbers,
              [&](int64_t pointed, int64_t i) { to[i] = from[pointed]; });
}

/// T is unsigned where the elements are integers: sums wrap.
template <class T>
void scatter_elements(const View& x, const View& y, int axis, const std::vector<int64_t>& numbers) {
  const auto* from = x.as<const T>();
  auto* to = y.as<T>();
  for_pointed(around(x.shape, axis), y.shape[axis], x.shape[axis], numbers,
              [&](int64_t pointed, int64_t i) { to[pointed] += from[i]; });
}

}  // namespace

void eager_gather(std::span<const View> inputs, const Attributes& attributes, std::span<const View> results) {
  const int axis = static_cast<int>(attributes[0]);
  const std::vector<int64_t> numbers = row_numbers(inputs[1], inputs[0].shape[axis], "gather");
  if (numbers.empty()) return;
  Scratch scratch;
  const View x = contiguous(inputs[0], scratch);
  switch (size_of(x.dtype)) {
    case 8:
      return gather_words<uint64_t>(x, results[0], axis, numbers);
    case 4:
      return gather_words<uint32_t>(x, results[0], axis, numbers);
    default:
      return gather_words<uint8_t>(x, results[0], axis, numbers);
  }
}

void eager_scatter_add(std::span<const View> inputs, const Attributes& attributes,
                       std::span<const View> results) {
  const int axis = static_cast<int>(attributes[0]);
  const std::vector<int64_t> numbers = row_numbers(inputs[1], attributes[1], "scatter_add");
  fill_zero(results[0]);
  if (numbers.empty()) return;
  Scratch scratch;
  const View x = contiguous(inputs[0], scratch);
  switch (x.dtype) {
    case DType::f32:
      return scatter_elements<float>(x, results[0], axis, numbers);
    case DType::f64:
      return scatter_elements<double>(x, results[0], axis, numbers);
    case DType::i64:
      return scatter_elements<uint64_t>(x, results[0], axis, numbers);
    default:
      return scatter_elements<uint32_t>(x, results[0], axis, numbers);
  }
}

}  // namespace calque::kernels
