// Copies between tensors of any strides: whole rows where they lie so, tiles for transposes, else element by
// element.
#include <algorithm>
#include <cstring>

#include "runtime/kernels/eager.h"
#include "runtime/kernels/elementwise.h"
#include "runtime/kernels/scratch.h"
#include "runtime/thread_pool.h"

namespace calque::kernels {

bool is_contiguous(const View& view) {
  int64_t step = 1;
  for (int axis = view.shape.rank() - 1; axis >= 0; --axis) {
    const int64_t size = view.shape[axis];
    if (size != 1 && view.strides[axis] != step) return view.shape.element_count() == 0;
    step *= size;
  }
  return true;
}

View contiguous_view(void* data, DType dtype, const Shape& shape) {
  return {data, dtype, shape, row_major_strides(shape)};
}

View contiguous(const View& x, Scratch& scratch) {
  if (is_contiguous(x)) return x;
  scratch = Scratch(x.shape.element_count() * static_cast<int64_t>(size_of(x.dtype)));
  const View y = contiguous_view(scratch.data(), x.dtype, x.shape);
  copy(x, y);
  return y;
}

bool collapse(const View& x, int first, int last, int64_t& stride) {
  stride = 0;
  int64_t expected = 0;
  bool any = false;
  for (int axis = last - 1; axis >= first; --axis) {
    if (x.shape[axis] == 1) continue;
    if (any && x.strides[axis] != expected) return false;
    if (!any) stride = x.strides[axis];
    any = true;
    expected = x.strides[axis] * x.shape[axis];
  }
  return true;
}

namespace {

struct Axis {
  int64_t size, from, to;  // strides in elements
};

/// Both tensors by common axes, those of `to` from far to near, neighbours joined where both allow.
struct CopyWalk {
  int rank = 0;
  Axis axes[kMaxRank];
  const char* from;
  char* to;

  const Axis& inner() const { return axes[rank - 1]; }
};

CopyWalk make_walk(const View& x, const View& y) {
  CopyWalk walk;
  walk.from = x.as<char>();
  walk.to = y.as<char>();
  Axis axes[kMaxRank];
  int count = 0;
  for (int axis = 0; axis < x.shape.rank(); ++axis)
    if (x.shape[axis] != 1) axes[count++] = {x.shape[axis], x.strides[axis], y.strides[axis]};
  std::stable_sort(axes, axes + count, [](const Axis& a, const Axis& b) { return a.to > b.to; });
  for (int i = 0; i < count; ++i) {
    Axis* last = walk.rank > 0 ? &walk.axes[walk.rank - 1] : nullptr;
    if (last && last->from == axes[i].from * axes[i].size && last->to == axes[i].to * axes[i].size)
      *last = {last->size * axes[i].size, axes[i].from, axes[i].to};
    else
      walk.axes[walk.rank++] = axes[i];
  }
  if (walk.rank == 0) walk.axes[walk.rank++] = {1, 1, 1};
  return walk;
}

/// y[i][j] = x[i][j] where the columns of x are contiguous: in tiles, each read by whole cache lines into a
/// buffer.
template <class Word>
void copy_transposed(const Word* from, int64_t from_step, Word* to, int64_t to_step, int64_t rows,
                     int64_t columns) {
  constexpr int64_t kTile = 16;
  Word tile[kTile][kTile];
  for (int64_t j = 0; j < columns; j += kTile) {
    const int64_t width = std::min(kTile, columns - j);
    for (int64_t i = 0; i < rows; i += kTile) {
      const int64_t height = std::min(kTile, rows - i);
      if (height < kTile || width < kTile) {
        for (int64_t row = 0; row < height; ++row)
          for (int64_t column = 0; column < width; ++column)
            to[(i + row) * to_step + j + column] = from[(j + column) * from_step + i + row];
        continue;
      }
      for (int64_t column = 0; column < kTile; ++column)
        std::memcpy(tile[column], from + (j + column) * from_step + i, sizeof tile[column]);
      for (int64_t row = 0; row < kTile; ++row)
        for (int64_t column = 0; column < kTile; ++column)
          to[(i + row) * to_step + j + column] = tile[column][row];
    }
  }
}

template <class Word>
void copy_row(const Word* from, int64_t from_step, Word* to, int64_t to_step, int64_t n) {
  if (from_step == 1 && to_step == 1) {
    std::memcpy(to, from, n * sizeof(Word));
  } else if (from_step == 0 && to_step == 1) {
    constexpr DType dtype = sizeof(Word) == 8 ? DType::i64 : sizeof(Word) == 4 ? DType::i32 : DType::boolean;
    const void* in[] = {from};
    elementwise_kernels().cast[static_cast<int>(dtype)][static_cast<int>(dtype)](n, to, in, &from_step);
  } else {
    for (int64_t i = 0; i < n; ++i) to[i * to_step] = from[i * from_step];
  }
}

/// The first axis is walked from `begin` to `end`.
template <class Word>
void copy_axes(const CopyWalk& walk, int axis, const Word* from, Word* to, int64_t begin, int64_t end) {
  const Axis& outer = walk.axes[axis];
  from += begin * outer.from;
  to += begin * outer.to;
  const int left = walk.rank - axis;
  if (left == 1) return copy_row(from, outer.from, to, outer.to, end - begin);
  const Axis& next = walk.axes[axis + 1];
  if (left == 2 && outer.from == 1 && next.from != 0 && next.to == 1)
    return copy_transposed(from, next.from, to, outer.to, end - begin, next.size);
  for (int64_t i = begin; i < end; ++i, from += outer.from, to += outer.to) {
    if (left == 2)
      copy_row(from, next.from, to, next.to, next.size);
    else
      copy_axes(walk, axis + 1, from, to, 0, next.size);
  }
}

template <class Word>
void copy_words(const CopyWalk& walk, int64_t elements) {
  const auto* from = reinterpret_cast<const Word*>(walk.from);
  auto* to = reinterpret_cast<Word*>(walk.to);
  // The longest of the axes outside of the innermost is shared out; a lone axis is split.
  const int64_t outer = walk.axes[0].size;
  const int64_t behind = elements / outer;
  if (elements <= kWorthAThread) return copy_axes(walk, 0, from, to, 0, outer);
  const int64_t grain = std::max<int64_t>(kWorthAThread / behind, 1);
  parallel_for(outer, grain, [&](int64_t begin, int64_t end) { copy_axes(walk, 0, from, to, begin, end); });
}

}  // namespace

void copy(const View& x, const View& y) {
  const int64_t elements = x.shape.element_count();
  if (elements == 0) return;
  if (elements <= kWorthAThread && is_contiguous(x) && is_contiguous(y)) {
    std::memcpy(y.data, x.data, elements * size_of(x.dtype));
    return;
  }
  const CopyWalk walk = make_walk(x, y);
  switch (size_of(x.dtype)) {
    case 8:
      return copy_words<uint64_t>(walk, elements);
    case 4:
      return copy_words<uint32_t>(walk, elements);
    default:
      return copy_words<uint8_t>(walk, elements);
  }
}

}  // namespace calque::kernels
