// One row by columns of whole vectors, in short chains: nothing is cut, carried or packed, and what that takes is as long as the
// product.
#pragma once

#include <algorithm>
#include <utility>

#include "runtime/function_ref.h"
#include "runtime/kernels/gemm.h"
#include "runtime/kernels/gemm_kernels.h"
#include "runtime/kernels/product_pieces.h"

namespace calque::kernels {

// What one call of a tile computes of such a product.
template <class T>
struct RowTile {
  static constexpr int64_t kMostTerms = 4;
  TileFunction<T> function;
  int64_t column, panel_stride;
  ProductSegment<T> segments[kMostTerms];

  static bool fits(const ProductSum<T>& sum, const ProductPieces<T>& pieces) {
    if (sum.m != 1 || sum.term_count == 0 || sum.term_count > kMostTerms || !pieces.are_whole_vectors()) return false;
    return std::all_of(sum.terms, sum.terms + sum.term_count, [](const ProductTerm<T>& term) {
      return term.k > 0 && term.k <= kBlockKInPlace && (term.packed_b != nullptr || term.b.col_stride == 1);
    });
  }

  RowTile() = default;
  RowTile(const ProductSum<T>& sum, const Piece& piece, const GemmTable<T>& table, const PanelGrid& grid)
      : function(piece.is_group     ? table.group_tiles[piece.vectors - 1][piece.panels - 1]
                 : piece.panels > 1 ? table.wide_tiles[0]
                                    : table.tiles[piece.vectors - 1][0]),
        column(piece.column), panel_stride(piece.panel_stride) {
    for (int64_t i = 0; i < sum.term_count; ++i) {
      const ProductTerm<T>& term = sum.terms[i];
      segments[i] = {term.a.data, 0, 0, term.a.col_stride, nullptr, 0, 0, term.k, true, true, i > 0 || sum.accumulate};
      reads_columns(term, term.b, 1, sum.n, 0, piece, grid, segments[i]);
    }
  }

  void multiply(int64_t terms, T* row) const {
    T* const c = row + column;
    function(segments, terms, {0, c, 0, panel_stride, c, 0, panel_stride});
  }

  // The first `known` values of the first term's row before `wait` returns, all others behind it. They are kept in c until then.
  void multiply(int64_t terms, T* row, int64_t known, FunctionRef<void()> wait) {
    const ProductSegment<T> whole = segments[0];
    segments[0].k = known;
    segments[0].ends = false;
    multiply(1, row);
    wait();
    segments[0] = {whole.a + known * whole.a_col_stride, 0, 0, whole.a_col_stride, whole.b + known * whole.b_row_stride,
                   whole.b_row_stride, whole.b_panel_stride, whole.k - known, false, true, false};
    multiply(terms, row);
    segments[0] = whole;
  }
};

// False where it is not such a product.
template <class T>
bool multiply_row(const ProductSum<T>& sum, const ProductPieces<T>& pieces, const GemmTable<T>& table, const PanelGrid& grid) {
  if (!RowTile<T>::fits(sum, pieces)) return false;
  pieces.for_each(1, [&](const Piece& piece) { RowTile<T>(sum, piece, table, grid).multiply(sum.term_count, sum.c); });
  return true;
}

// Columns of such a product that one thread computes again and again, of rows and into results that move: what stays the same
// is found out once.
template <class T>
class RowColumns {
 public:
  // Whether what product_columns() with these arguments computes takes few tiles and adds onto nothing.
  static bool fits(const ProductSum<T>& sum, int64_t begin, int64_t end, int64_t repeats, int64_t stride,
                   IsaLevel level = isa_level()) {
    const GemmTable<T>& table = gemm_table<T>(level);
    const PanelGrid grid(table, sum.panel_columns);
    const ProductPieces<T> pieces(begin, end, repeats, stride, Order::ascending, table, grid);
    int64_t tiles = 0;
    pieces.for_each(1, [&](const Piece&) { ++tiles; });
    return !sum.accumulate && tiles <= kMostTiles && RowTile<T>::fits(sum, pieces);
  }

  RowColumns() = default;
  // For what fits.
  RowColumns(const ProductSum<T>& sum, int64_t begin, int64_t end, int64_t repeats, int64_t stride, IsaLevel level = isa_level())
      : term_count_(sum.term_count) {
    const GemmTable<T>& table = gemm_table<T>(level);
    const PanelGrid grid(table, sum.panel_columns);
    ProductPieces<T>(begin, end, repeats, stride, Order::ascending, table, grid).for_each(1, [&](const Piece& piece) {
      tiles_[tile_count_++] = RowTile<T>(sum, piece, table, grid);
    });
  }

  // rows[i]: where the row of term i begins. Of that of the first term, only the `known` first values may be read before `wait`
  // has returned, if there are any; and nothing else.
  void multiply(std::byte* const* rows, T* c, Order order, int64_t known, FunctionRef<void()> wait) {
    for (int64_t i = 0; i < tile_count_; ++i) {
      RowTile<T>& tile = tiles_[order == Order::ascending ? i : tile_count_ - 1 - i];
      for (int64_t term = 0; term < term_count_; ++term) tile.segments[term].a = reinterpret_cast<const T*>(rows[term]);
      if (known > 0) tile.multiply(term_count_, c, std::exchange(known, 0), wait);
      else tile.multiply(term_count_, c);
    }
  }

 private:
  static constexpr int64_t kMostTiles = 8;
  int64_t tile_count_ = 0, term_count_ = 0;
  RowTile<T> tiles_[kMostTiles];
};

}  // namespace calque::kernels
