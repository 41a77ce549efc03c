// Which columns of a part of a product a tile computes at once, and where it reads them; for gemm.cpp and row_columns.h only.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>

#include "runtime/kernels/gemm_kernels.h"
#include "runtime/thread_pool.h"

namespace calque::kernels {

// A row-major b is read in place for up to so many rows; packing its panels first pays beyond.
inline constexpr int64_t kDirectRows = 24;
// Of a chain that is not cut where rows of a are not packed: each tile that begins costs time.
inline constexpr int64_t kBlockKInPlace = 1024;

// Columns in vectors and panels. Both sizes are powers of two, and a division takes longer than a small tile's row.
struct PanelGrid {
  int64_t lanes, panel;  // columns of a vector, and of a whole panel
  int lane_shift;
  bool is_narrow;        // panels have less columns than the widest tile

  template <class T>
  PanelGrid(const GemmTable<T>& table, int64_t most_columns)
      : lanes(table.lanes), panel(std::min<int64_t>(lanes * table.panel_vectors, most_columns)),
        lane_shift(std::countr_zero(static_cast<unsigned>(lanes))), is_narrow(panel < lanes * table.panel_vectors) {}
  int64_t vectors_of(int64_t columns) const { return (columns + lanes - 1) >> lane_shift; }
  int64_t padded(int64_t columns) const { return vectors_of(columns) << lane_shift; }
  int64_t inside_panel(int64_t column) const { return column & (panel - 1); }
};

// Columns that are computed together: whole panels side by side, or a part of one panel, or the same part of several repeats.
struct Piece {
  int64_t column, columns;  // columns: without the padding, of the repeat that it begins in
  int vectors, panels;      // vectors of each panel
  int64_t panel_stride = 0;  // columns from one panel to the next
  bool is_group = false;     // its panels lie in different repeats
  int64_t carry_column = 0, carry_panel_stride = 0;  // where unfinished chains of it lie in a row of the carry
};

// The columns [begin, end), and those `stride`, 2 `stride`, ... behind them, in pieces.
template <class T>
class ProductPieces {
 public:
  ProductPieces(int64_t begin, int64_t end, int64_t repeats, int64_t stride, Order order, const GemmTable<T>& table,
                const PanelGrid& grid)
      : begin_(begin), end_(end), repeats_(repeats), stride_(stride), order_(order), table_(table), grid_(grid),
        width_(grid_.padded(end - begin)) {}

  bool are_whole_vectors() const { return width_ == end_ - begin_; }
  int64_t columns() const { return repeats_ * (end_ - begin_); }
  // Of a row of the carry: the repeats side by side, each in whole vectors.
  int64_t carry_columns() const { return repeats_ * width_; }

  template <class Function>
  void for_each_column(const Function& f) const {
    for (int64_t repeat = 0; repeat < repeats_; ++repeat)
      for (int64_t column = begin_; column < end_; ++column) f(repeat * stride_ + column);
  }

  // The pieces of so many rows, in the order asked for.
  template <class Function>
  void for_each(int64_t rows, const Function& f) const {
    const int64_t beside = repeats_beside(rows);
    for (int64_t done = 0; done < repeats_;) {
      const int64_t count = std::min(beside, repeats_ - done);
      const int64_t repeat = order_ == Order::ascending ? done : repeats_ - done - count;
      const int64_t begin = begin_ + repeat * stride_, end = end_ + repeat * stride_;
      const auto call = [&](Piece piece) {
        if (count > 1) piece = {piece.column, piece.columns, piece.vectors, static_cast<int>(count), stride_, true};
        piece.carry_column = piece.column - begin + repeat * width_;
        piece.carry_panel_stride = count > 1 ? width_ : piece.panel_stride;
        f(piece);
      };
      if (order_ == Order::ascending) {
        for (int64_t column = begin; column < end;) {
          const Piece piece = piece_at(rows, column, end);
          call(piece);
          column += piece.columns;
        }
      } else {
        for (int64_t column = end; column > begin;) {
          const Piece piece = piece_before(rows, column, begin);
          call(piece);
          column = piece.column;
        }
      }
      done += count;
    }
  }

 private:
  // How many repeats are computed side by side: a few columns of one row alone are too few independent chains.
  int64_t repeats_beside(int64_t rows) const {
    const int64_t columns = end_ - begin_;
    const bool are_few = grid_.is_narrow || columns < table_.wide_panels[0] * grid_.panel;
    if (rows != 1 || !are_few || columns % grid_.lanes != 0 || grid_.inside_panel(stride_) != 0) return 1;
    return table_.group_panels[grid_.vectors_of(std::min(columns, grid_.panel)) - 1];
  }

  // How many panels are computed side by side next to `border`, on the side where there are `rest` columns.
  int panels_beside(int64_t rows, int64_t border, int64_t rest) const {
    if (grid_.is_narrow || rows > kMaxWideRows || grid_.inside_panel(border) != 0) return 1;
    const int panels = table_.wide_panels[rows - 1];
    return panels > 1 && rest >= panels * grid_.panel ? panels : 1;
  }

  Piece whole_panels(int64_t column, int panels) const {
    return {column, panels * grid_.panel, table_.panel_vectors, panels, grid_.panel};
  }

  Piece piece_at(int64_t rows, int64_t column, int64_t end) const {
    const int panels = panels_beside(rows, column, end - column);
    if (panels > 1) return whole_panels(column, panels);
    const int64_t columns = std::min(column - grid_.inside_panel(column) + grid_.panel, end) - column;
    return {column, columns, static_cast<int>(grid_.vectors_of(columns)), 1};
  }

  // The last one of the columns [begin, column).
  Piece piece_before(int64_t rows, int64_t column, int64_t begin) const {
    const int panels = panels_beside(rows, column, column - begin);
    if (panels > 1) return whole_panels(column - panels * grid_.panel, panels);
    const int64_t first = std::max(column - 1 - grid_.inside_panel(column - 1), begin);
    return {first, column - first, static_cast<int>(grid_.vectors_of(column - first)), 1};
  }

  const int64_t begin_, end_, repeats_, stride_;
  const Order order_;
  const GemmTable<T>& table_;
  const PanelGrid grid_;
  const int64_t width_;  // of a repeat in the carry
};

// Points at columns of b as the caller packed them, or as they lie where few rows read them; else they have to be packed.
template <class T>
bool reads_columns(const ProductTerm<T>& term, MatrixView<T> b, int64_t rows, int64_t n, int64_t k_begin, const Piece& piece,
                   const PanelGrid& grid, ProductSegment<T>& segment) {
  if (term.packed_b != nullptr) {
    const int64_t inside = grid.inside_panel(piece.column), panel_begin = piece.column - inside;
    segment.b_row_stride = std::min(grid.panel, grid.padded(n - panel_begin));
    segment.b = term.packed_b + panel_begin * term.k + k_begin * segment.b_row_stride + inside;
    segment.b_panel_stride = piece.panel_stride * term.k;
    return true;
  }
  if (b.col_stride != 1 || rows > kDirectRows || (piece.columns & (grid.lanes - 1)) != 0) return false;
  segment.b = b.data + k_begin * b.row_stride + piece.column;
  segment.b_row_stride = b.row_stride;
  segment.b_panel_stride = piece.panel_stride;
  return true;
}

}  // namespace calque::kernels
