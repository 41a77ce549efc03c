// The inner loops of the matrix product that each instruction-set level provides, as a table; for this folder only.
#pragma once

#include <cstdint>

#include "runtime/kernels/isa.h"

namespace calque::kernels {

inline constexpr int kMaxTileRows = 12;
inline constexpr int kMaxPanelVectors = 4;
inline constexpr int kMaxWideRows = 3;
inline constexpr int kMaxWidePanels = 4;
inline constexpr int kMaxSumRows = 3;

// A run of k for one tile: a whole product, or a part of one that is too long for the cache.
template <class T>
struct ProductSegment {
  const T* a;             // where a_index is 0
  int64_t a_tile_stride;  // from one unit of a_index to the next
  int64_t a_row_stride;
  int64_t a_col_stride;
  const T* b;  // k = 0, first column of the tile; columns are contiguous
  int64_t b_row_stride;
  int64_t b_panel_stride;  // between the panels of a wide tile, or the columns of a group
  int64_t k;
  bool starts;  // the chain begins here at +0, else it goes on from the carry
  bool ends;    // the chain is whole: goes to c; else it is put into the carry
  bool adds;    // c += chain, else c = chain
};

template <class T>
struct ProductTile {
  int64_t a_index;  // where its row 0 is: times a_tile_stride
  T* c;
  int64_t c_row_stride, c_panel_stride;
  T* carry;  // unfinished chains, laid out as c is
  int64_t carry_row_stride, carry_panel_stride;
};

// Computes one tile through all segments, in order. Rows, vectors and panels are fixed for each function.
template <class T>
using TileFunction = void (*)(const ProductSegment<T>* segments, int64_t count, const ProductTile<T>& tile);

template <class T>
struct GemmTable {
  int lanes;          // of a vector
  int panel_vectors;  // vectors in a whole panel
  // [vectors - 1]: the most rows of a tile of so many vectors, and the tiles [rows - 1].
  int max_rows[kMaxPanelVectors];
  TileFunction<T> tiles[kMaxPanelVectors][kMaxTileRows];
  // [rows - 1]: how many whole panels a tile of few rows covers at once, to have enough independent chains.
  int wide_panels[kMaxWideRows];
  TileFunction<T> wide_tiles[kMaxWideRows];
  // [vectors - 1]: how many parts of one row, of so many vectors each and at equal distances, a tile covers at once, at most;
  // and those tiles [parts - 1].
  int group_panels[kMaxPanelVectors];
  TileFunction<T> group_tiles[kMaxPanelVectors][kMaxWidePanels];
  // [rows - 1]: one whole panel; the sum stays in registers too, so each segment is a whole product. sum_rows:
  // the most rows, 0 where the registers are too few for that.
  int sum_rows;
  TileFunction<T> sum_tiles[kMaxSumRows];
  // out[k][width] = b[k, 0 .. columns), the rest zeros; width is a multiple of lanes.
  void (*pack_panel)(const T* b, int64_t row_stride, int64_t col_stride, int64_t k, int64_t columns,
                     int64_t width, T* out);
  // out[k][width] = a[0 .. rows, k]; columns from rows to width mean nothing. So many rows may be read from `a` on.
  void (*pack_rows)(const T* a, int64_t row_stride, int64_t col_stride, int64_t rows, int64_t readable_rows, int64_t k,
                    int64_t width, T* out);
};

struct GemmKernels {
  GemmTable<float> f32;
  GemmTable<double> f64;
};

namespace baseline {
extern const GemmKernels kGemmKernels;
}
namespace avx2 {
extern const GemmKernels kGemmKernels;
}
namespace avx512 {
extern const GemmKernels kGemmKernels;
}

template <class T>
const GemmTable<T>& gemm_table(IsaLevel level) {
  const GemmKernels& kernels = level == IsaLevel::avx512 ? avx512::kGemmKernels
                               : level == IsaLevel::avx2 ? avx2::kGemmKernels
                                                         : baseline::kGemmKernels;
  if constexpr (sizeof(T) == 4) {
    return kernels.f32;
  } else {
    return kernels.f64;
  }
}

inline int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

}  // namespace calque::kernels
