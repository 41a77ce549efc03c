// The reductions and argmax of tensors: brings an axis into reach of the inner loops, shares out blocks, joins
// their results.
#include "runtime/kernels/reduction.h"

#include <algorithm>
#include <cstring>

#include "ir/op/reduction.h"
#include "runtime/kernels/eager.h"
#include "runtime/kernels/scratch.h"
#include "runtime/thread_pool.h"

namespace calque::kernels {

const ReductionKernels& reduction_kernels(IsaLevel level) {
  switch (level) {
    case IsaLevel::avx512:
      return avx512::kReductionKernels;
    case IsaLevel::avx2:
      return avx2::kReductionKernels;
    case IsaLevel::baseline:
      break;
  }
  return baseline::kReductionKernels;
}

const ReductionKernels& reduction_kernels() {
  static const ReductionKernels& kernels = reduction_kernels(isa_level());
  return kernels;
}

namespace {

/// A reduction for one dtype.
struct Reducer {
  ReductionLoops loops;
  InnerLoop join;  // of the elementwise table
  int64_t size;    // bytes of an element
};

Reducer make_reducer(ReductionRow row, ElementwiseRow join, DType dtype) {
  const int index = static_cast<int>(dtype);
  return {reduction_kernels().rows[static_cast<int>(row)][index],
          elementwise_kernels().rows[static_cast<int>(join)][index], static_cast<int64_t>(size_of(dtype))};
}

int64_t ceil_divide(int64_t a, int64_t b) { return (a + b - 1) / b; }

/// Shares out items of `cost` elements each.
void share(int64_t items, int64_t cost, FunctionRef<void(int64_t, int64_t)> f) {
  if (items * std::max<int64_t>(cost, 1) <= kWorthAThread) return f(0, items);
  parallel_for(items, std::max<int64_t>(kWorthAThread / std::max<int64_t>(cost, 1), 1), f);
}

/// Joins `count` >= 2 results of `columns` elements each, `step` elements apart: neighbours first. Overwrites
/// them.
void join_pairwise(const Reducer& reducer, char* blocks, int64_t step, int64_t count, int64_t columns,
                   char* out) {
  constexpr int64_t steps[] = {1, 1};
  const int64_t bytes = step * reducer.size;
  for (; count > 1; count = (count + 1) / 2) {
    for (int64_t i = 0; i < count / 2; ++i) {
      const void* in[] = {blocks + 2 * i * bytes, blocks + (2 * i + 1) * bytes};
      reducer.join(columns, count == 2 ? out : blocks + i * bytes, in, steps);
    }
    if (count % 2 != 0)
      std::memcpy(blocks + count / 2 * bytes, blocks + (count - 1) * bytes, columns * reducer.size);
  }
}

/// An innermost axis of n elements for each of `rows` rows, `row_step` apart.
void reduce_innermost(const Reducer& reducer, const char* x, int64_t row_step, int64_t rows, int64_t n,
                      char* out) {
  const int64_t size = reducer.size, blocks = ceil_divide(n, reduction::kBlock);
  if (blocks <= 1)
    return share(rows, n, [&](int64_t begin, int64_t end) {
      reducer.loops.rows(x + begin * row_step * size, row_step, end - begin, n, out + begin * size);
    });
  const Scratch scratch(rows * blocks * size);
  share(rows * blocks, reduction::kBlock, [&](int64_t begin, int64_t end) {
    for (int64_t item = begin; item < end; ++item) {
      const int64_t first = item % blocks * reduction::kBlock;
      reducer.loops.rows(x + (item / blocks * row_step + first) * size, 0, 1,
                         std::min(reduction::kBlock, n - first), scratch.data() + item * size);
    }
  });
  for (int64_t row = 0; row < rows; ++row)
    join_pairwise(reducer, scratch.data() + row * blocks * size, 1, blocks, 1, out + row * size);
}

/// Memory as [batches, rows, columns] with contiguous columns; steps in elements.
struct Columns {
  int64_t batches, batch_step, rows, row_step, columns;
};

void reduce_outer(const Reducer& reducer, const char* x, const Columns& shape, char* out) {
  constexpr int64_t kPart = 1024;  // columns of one item
  const int64_t size = reducer.size, columns = shape.columns, parts = ceil_divide(columns, kPart);
  const int64_t blocks = std::max<int64_t>(ceil_divide(shape.rows, reduction::kOuterBlock), 1);
  const Scratch scratch(blocks == 1 ? 0 : shape.batches * blocks * columns * size);
  char* results = blocks == 1 ? out : scratch.data();
  const int64_t part_cost = std::min(columns, kPart) * std::min(shape.rows, reduction::kOuterBlock);
  share(shape.batches * blocks * parts, part_cost, [&](int64_t begin, int64_t end) {
    for (int64_t item = begin; item < end; ++item) {
      const int64_t column = item % parts * kPart, block = item / parts % blocks,
                    batch = item / parts / blocks;
      const int64_t row = block * reduction::kOuterBlock;
      reducer.loops.columns(x + (batch * shape.batch_step + row * shape.row_step + column) * size,
                            shape.row_step, std::min(reduction::kOuterBlock, shape.rows - row),
                            std::min(kPart, columns - column),
                            results + ((batch * blocks + block) * columns + column) * size);
    }
  });
  if (blocks == 1) return;
  share(shape.batches * parts, std::min(columns, kPart) * blocks, [&](int64_t begin, int64_t end) {
    for (int64_t item = begin; item < end; ++item) {
      const int64_t column = item % parts * kPart, batch = item / parts;
      join_pairwise(reducer, results + (batch * blocks * columns + column) * size, columns, blocks,
                    std::min(kPart, columns - column), out + (batch * columns + column) * size);
    }
  });
}

int64_t product(const Shape& shape, int first, int last) {
  int64_t n = 1;
  for (int axis = first; axis < last; ++axis) n *= shape[axis];
  return n;
}

/// Reduces one axis of x into `out`, where it has size 1.
void reduce_axis(const Reducer& reducer, View x, int axis, char* out) {
  const int rank = x.shape.rank();
  const int64_t before = product(x.shape, 0, axis), after = product(x.shape, axis + 1, rank),
                n = x.shape[axis];
  if (before == 0 || after == 0) return;
  Scratch scratch;
  int64_t batch_step = 0, column_step = 0;
  const bool reachable = collapse(x, 0, axis, batch_step) && collapse(x, axis + 1, rank, column_step);
  const int64_t inner_step = after == 1 ? x.strides[axis] : column_step, inner_size = after == 1 ? n : after;
  if (!reachable || (inner_step != 1 && inner_size > 1)) {
    x = contiguous(x, scratch);
    batch_step = n * after;
  }
  if (after == 1) return reduce_innermost(reducer, x.as<char>(), batch_step, before, n, out);
  reduce_outer(reducer, x.as<char>(), {before, batch_step, n, x.strides[axis], after}, out);
}

void reduce(ReductionRow row, ElementwiseRow join, View x, std::span<const int64_t> axes, const View& y) {
  if (axes.empty()) {  // a scalar
    std::memcpy(y.data, x.data, size_of(x.dtype));
    return;
  }
  const Reducer reducer = make_reducer(row, join, x.dtype);
  Scratch kept;
  for (size_t i = axes.size(); i-- > 0;) {
    const int axis = static_cast<int>(axes[i]);
    Shape shape = x.shape;
    shape.set(axis, 1);
    Scratch next;
    if (i > 0) next = Scratch(shape.element_count() * reducer.size);
    char* out = i > 0 ? next.data() : y.as<char>();
    reduce_axis(reducer, x, axis, out);
    x = contiguous_view(out, x.dtype, shape);
    kept = std::move(next);
  }
}

/// Whether `candidate` is larger than the largest element before it; NaN counts as largest, the first of
/// equals stays.
template <class T>
bool replaces(T candidate, T largest) {
  return largest == largest && (candidate > largest || candidate != candidate);
}

/// One row of contiguous columns, each reduced over n elements `after` apart, some columns at a time.
template <class T>
void argmax_columns(const T* x, int64_t n, int64_t after, int64_t* out) {
  constexpr int64_t kColumns = 64;
  for (int64_t first = 0; first < after; first += kColumns) {
    const int64_t columns = std::min(kColumns, after - first);
    T largest[kColumns];
    std::copy_n(x + first, columns, largest);
    std::fill_n(out + first, columns, 0);
    for (int64_t k = 1; k < n; ++k) {
      for (int64_t j = 0; j < columns; ++j) {
        const T candidate = x[k * after + first + j];
        if (!replaces(candidate, largest[j])) continue;
        largest[j] = candidate;
        out[first + j] = k;
      }
    }
  }
}

template <class T>
void argmax_rows(const View& x, int axis, int64_t* out) {
  const int64_t before = product(x.shape, 0, axis), after = product(x.shape, axis + 1, x.shape.rank());
  const int64_t n = x.shape[axis];
  share(before, n * after, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row)
      argmax_columns(x.as<const T>() + row * n * after, n, after, out + row * after);
  });
}

}  // namespace

#define REDUCTION(name, promotion, join, ...)                                                            \
  void eager_##name(std::span<const View> inputs, const Attributes& attributes,                          \
                    std::span<const View> results) {                                                     \
    reduce(ReductionRow::name, ElementwiseRow::join, inputs[0], attributes.list(1), results[0]);         \
  }
#include "ir/op/all_reductions.inc"

void eager_argmax(std::span<const View> inputs, const Attributes& attributes, std::span<const View> results) {
  if (results[0].shape.element_count() == 0) return;
  Scratch scratch;
  const View x = contiguous(inputs[0], scratch);
  const int axis = static_cast<int>(attributes[0]);
  switch (x.dtype) {
    case DType::f32:
      return argmax_rows<float>(x, axis, results[0].as<int64_t>());
    case DType::f64:
      return argmax_rows<double>(x, axis, results[0].as<int64_t>());
    case DType::i64:
      return argmax_rows<int64_t>(x, axis, results[0].as<int64_t>());
    default:
      return argmax_rows<int32_t>(x, axis, results[0].as<int64_t>());
  }
}

}  // namespace calque::kernels
