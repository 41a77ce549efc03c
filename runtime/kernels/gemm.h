// Matrix products with one result for every machine: sums of products, packing, and the split over a team of
// threads.
//
// Every element of a product is the chain acc = +0; for k in 0 .. K-1: acc = fma(a[m,k], b[k,n], acc), in
// this order, at every instruction-set level, for any number of threads and any layout, packed or not: the
// same bits everywhere (any NaN equals any NaN). Vectors run over m and n only, and no chain is split.
#pragma once

#include <cstdint>

#include "runtime/kernels/isa.h"
#include "runtime/thread_pool.h"

namespace calque::kernels {

// Element (i, j) is data[i * row_stride + j * col_stride]; any strides, so a transpose needs no copy.
template <class T>
struct MatrixView {
  const T* data = nullptr;
  int64_t row_stride = 0;
  int64_t col_stride = 0;
};

// One product a @ b with a: [m, k], b: [k, n].
template <class T>
struct ProductTerm {
  MatrixView<T> a;
  MatrixView<T> b;  // not read where packed_b is given
  int64_t k = 0;
  const T* packed_b = nullptr;  // what pack() made of b at the same level
};

// Of the panels that pack() makes: as wide as is best for many rows, or at most so many columns, a power of two of kColumnUnit at
// least. One row that is multiplied again and again is read faster where the columns of each thread lie together: else they fill
// a part of the sets of its cache.
inline constexpr int64_t kColumnUnit = 16;  // elements of the widest vector
inline constexpr int64_t kWholePanels = INT64_MAX;

// c[i * c_row_stride + j] = ((c_old, if accumulate) + T1) + T2 + ..., each T a product of its own, added in
// order. Without accumulate the first product is stored as it is, and no terms at all mean zeros. m, n, k may
// be 0. c overlaps no operand.
template <class T>
struct ProductSum {
  int64_t m = 0;
  int64_t n = 0;
  const ProductTerm<T>* terms = nullptr;
  int64_t term_count = 0;
  T* c = nullptr;
  int64_t c_row_stride = 0;
  bool accumulate = false;
  int64_t panel_columns = kWholePanels;  // what pack() was told
};

// T is float or double. `level` is there for tests; both sides of a packed operand must agree on it.

// The elements that pack() writes for b: [k, n].
template <class T>
int64_t packed_elements(int64_t k, int64_t n, IsaLevel level = isa_level());

// Packs b: [k, n] into panels of whole vectors, as product_sum reads it best; worth it for an operand that is
// used again. Each member packs its share: a barrier must follow before anybody uses `out` (best aligned to
// 64 bytes).
template <class T>
void pack(MatrixView<T> b, int64_t k, int64_t n, T* out, Team& team, int64_t panel_columns = kWholePanels,
          IsaLevel level = isa_level());

// Computes the columns [begin, end) of c, and those that lie `stride`, 2 `stride`, ... behind them (`repeats` times in
// all: the gates of a cell), in the calling thread alone. `begin` and `stride` are multiples of kColumnUnit; best of 64.
template <class T>
void product_columns(const ProductSum<T>& product, int64_t begin, int64_t end, int64_t repeats, int64_t stride,
                     Order order = Order::ascending, IsaLevel level = isa_level());

// Computes c together with the other members of the team; a barrier must follow before anybody reads another member's part.
// Who multiplies by the same b again and again turns the order of columns round each time: what it used last is still in its
// cache. Operands that are not packed are packed on the way where that pays, into buffers that each thread
// keeps (up to about 3 MB; std::bad_alloc where there is no such memory).
template <class T>
void product_sum(const ProductSum<T>& product, Team& team, Order order = Order::ascending,
                 IsaLevel level = isa_level());

}  // namespace calque::kernels
