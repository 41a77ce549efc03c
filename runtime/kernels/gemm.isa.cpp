// The matrix product's inner loops: register tiles of rows x vectors, and packing with register transposes.
#include "runtime/kernels/gemm_kernels.h"
#include "runtime/kernels/vector.h"

namespace calque::kernels::CALQUE_ISA_LEVEL {

#define CALQUE_UNROLL _Pragma("GCC unroll 64")

// Tiles that fit the registers with the vectors of b and one of a: 32 registers (AVX-512), 16 otherwise.
static constexpr int kPanelVectors = kVectorBytes == 64 ? 4 : 2;
static constexpr int max_tile_rows(int vectors) {
  if (kVectorBytes == 64) return vectors == 4 ? 6 : vectors == 3 ? 8 : 12;
  if (kVectorBytes == 32) return vectors == 2 ? 6 : 12;
  return 4;
}

// Calls f(row, panel, vector) for each vector of a tile.
template <int Rows, int Panels, int Vectors, class Function>
CALQUE_INLINE void for_each_vector(const Function& f) {
  CALQUE_UNROLL for (int r = 0; r < Rows; ++r) {
    CALQUE_UNROLL for (int p = 0; p < Panels; ++p) {
      CALQUE_UNROLL for (int v = 0; v < Vectors; ++v) f(r, p, v);
    }
  }
}

// Where the chains of a segment go: into c, onto c, or into the carry.
template <class T>
struct Destination {
  T* data;
  int64_t row_stride, panel_stride;
  bool adds;

  Destination(const ProductSegment<T>& segment, const ProductTile<T>& tile)
      : data(segment.ends ? tile.c : tile.carry),
        row_stride(segment.ends ? tile.c_row_stride : tile.carry_row_stride),
        panel_stride(segment.ends ? tile.c_panel_stride : tile.carry_panel_stride),
        adds(segment.ends && segment.adds) {}

  T* at(int row, int panel, int vector) const {
    return data + row * row_stride + panel * panel_stride + vector * Vector<T>::kLanes;
  }
};

// One k loop, with the segments as its bounds. Not inlined: several copies in one function made GCC keep
// accumulators in memory.
template <class T, int Rows, int Vectors, int Panels>
__attribute__((noinline)) static void multiply_tile(const ProductSegment<T>* segments, int64_t count,
                                                    const ProductTile<T>& tile) {
  using V = Vector<T>;
  constexpr int kColumns = Vectors * Panels;  // in vectors
  constexpr int kPointers =
      (Rows + 2) / 3;  // three rows share one: addresses reach 0, 1 and 2 strides from it
  for (const ProductSegment<T>* s = segments; s != segments + count; ++s) {
    const Destination<T> to(*s, tile);
    if (s == segments) {  // fetched while it is multiplied
      for_each_vector<Rows, Panels, Vectors>([&](int r, int p, int v) { __builtin_prefetch(to.at(r, p, v), 1); });
    }
    V acc[Rows][kColumns];  // +0, or what the carry holds
    if (s->starts) {
      for_each_vector<Rows, Panels, Vectors>([&](int r, int p, int v) { acc[r][p * Vectors + v] = V{}; });
    } else {
      for_each_vector<Rows, Panels, Vectors>([&](int r, int p, int v) {
        acc[r][p * Vectors + v] =
            load<V>(tile.carry + r * tile.carry_row_stride + p * tile.carry_panel_stride + v * V::kLanes);
      });
    }
    const int64_t row_stride = s->a_row_stride, col_stride = s->a_col_stride, b_stride = s->b_row_stride;
    const T* a[kPointers];
    a[0] = s->a + tile.a_index * s->a_tile_stride;
    CALQUE_UNROLL for (int i = 1; i < kPointers; ++i) a[i] = a[i - 1] + 3 * row_stride;
    const T* b[Panels];
    b[0] = s->b;
    CALQUE_UNROLL for (int p = 1; p < Panels; ++p) b[p] = b[p - 1] + s->b_panel_stride;
    for (int64_t k = s->k; k > 0; --k) {
      V bv[kColumns];
      CALQUE_UNROLL for (int p = 0; p < Panels; ++p) {
        CALQUE_UNROLL for (int v = 0; v < Vectors; ++v) bv[p * Vectors + v] = load<V>(b[p] + v * V::kLanes);
        b[p] += b_stride;
      }
      CALQUE_UNROLL for (int r = 0; r < Rows; ++r) {
        const V av = broadcast<V>(a[r / 3][(r % 3) * row_stride]);
        CALQUE_UNROLL for (int v = 0; v < kColumns; ++v) acc[r][v] = fma(av, bv[v], acc[r][v]);
      }
      CALQUE_UNROLL for (int i = 0; i < kPointers; ++i) a[i] += col_stride;
    }
    if (to.adds) {
      for_each_vector<Rows, Panels, Vectors>([&](int r, int p, int v) {
        store(to.at(r, p, v), load<V>(to.at(r, p, v)) + acc[r][p * Vectors + v]);
      });
    } else {
      for_each_vector<Rows, Panels, Vectors>([&](int r, int p, int v) { store(to.at(r, p, v), acc[r][p * Vectors + v]); });
    }
  }
}

// A load into a register that no fma repeats as its memory operand: a core may load one such vector a cycle.
template <class V>
CALQUE_INLINE V load_once(const typename V::Scalar* p) {
  V x = load<V>(p);
#ifdef __AVX512F__
  asm("" : "+v"(x.v));
#endif
  return x;
}

// Whole products only. The sum is read once, kept in registers beside the chain, and written once: a short
// product costs no traffic to c. Its additions run beside the next product's fma.
template <class T, int Rows>
__attribute__((noinline)) static void multiply_sum_tile(const ProductSegment<T>* segments, int64_t count,
                                                        const ProductTile<T>& tile) {
  using V = Vector<T>;
  constexpr int kVectors = kPanelVectors;
  V sum[Rows][kVectors];
  CALQUE_UNROLL for (int r = 0; r < Rows; ++r) {
    const T* row = tile.c + r * tile.c_row_stride;
    CALQUE_UNROLL for (int v = 0; v < kVectors; ++v) {
      sum[r][v] = segments->adds ? load<V>(row + v * V::kLanes) : V{};
    }
  }
  for (const ProductSegment<T>* s = segments; s != segments + count; ++s) {
    const int64_t row_stride = s->a_row_stride, col_stride = s->a_col_stride, b_stride = s->b_row_stride;
    const T* a = s->a + tile.a_index * s->a_tile_stride;
    const T* b = s->b;
    V acc[Rows][kVectors] = {};
    for (int64_t k = s->k; k > 0; --k) {
      V bv[kVectors];
      CALQUE_UNROLL for (int v = 0; v < kVectors; ++v) bv[v] = load_once<V>(b + v * V::kLanes);
      CALQUE_UNROLL for (int r = 0; r < Rows; ++r) {
        const V av = broadcast<V>(a[r * row_stride]);
        CALQUE_UNROLL for (int v = 0; v < kVectors; ++v) acc[r][v] = fma(av, bv[v], acc[r][v]);
      }
      a += col_stride;
      b += b_stride;
    }
    if (s->adds) {
      CALQUE_UNROLL for (int r = 0; r < Rows; ++r) {
        CALQUE_UNROLL for (int v = 0; v < kVectors; ++v) sum[r][v] = sum[r][v] + acc[r][v];
      }
    } else {  // the first product is stored as it is: +0 + -0 would lose a sign
      CALQUE_UNROLL for (int r = 0; r < Rows; ++r) {
        CALQUE_UNROLL for (int v = 0; v < kVectors; ++v) sum[r][v] = acc[r][v];
      }
    }
  }
  CALQUE_UNROLL for (int r = 0; r < Rows; ++r) {
    T* row = tile.c + r * tile.c_row_stride;
    CALQUE_UNROLL for (int v = 0; v < kVectors; ++v) store(row + v * V::kLanes, sum[r][v]);
  }
}

// --- Packing ---

template <int... Lane>
struct Lanes {};
template <int Count, int... Lane>
struct CountLanes : CountLanes<Count - 1, Count - 1, Lane...> {};
template <int... Lane>
struct CountLanes<0, Lane...> {
  using type = Lanes<Lane...>;
};

// Exchanges the off-diagonal halves of each 2 Half x 2 Half block of the rows x and y (y is Half rows below
// x).
template <int Half, class V, int... Lane>
CALQUE_INLINE void exchange(V& x, V& y, Lanes<Lane...>) {
  constexpr int n = V::kLanes;
  const auto upper = __builtin_shufflevector(x.v, y.v, ((Lane & Half) ? n + Lane - Half : Lane)...);
  const auto lower = __builtin_shufflevector(x.v, y.v, ((Lane & Half) ? n + Lane : Lane + Half)...);
  x.v = upper;
  y.v = lower;
}

template <int Half, class V>
CALQUE_INLINE void transpose_step(V* rows) {
  if constexpr (Half < V::kLanes) {
    CALQUE_UNROLL for (int r = 0; r < V::kLanes; ++r) {
      if ((r & Half) == 0) exchange<Half>(rows[r], rows[r + Half], typename CountLanes<V::kLanes>::type{});
    }
    transpose_step<2 * Half>(rows);
  }
}

// out[i][j] = in[j * in_stride + i] for a square of kLanes; out's rows are out_stride apart.
template <class T>
static inline void transpose_square(const T* in, int64_t in_stride, T* out, int64_t out_stride) {
  using V = Vector<T>;
  V rows[V::kLanes];
  CALQUE_UNROLL for (int r = 0; r < V::kLanes; ++r) rows[r] = load<V>(in + r * in_stride);
  transpose_step<1>(rows);
  CALQUE_UNROLL for (int r = 0; r < V::kLanes; ++r) store(out + r * out_stride, rows[r]);
}

// Of each of k rows: `columns` values, then zeros up to `padded`.
template <class T>
static void pack_general(const T* b, int64_t row_stride, int64_t col_stride, int64_t k, int64_t columns,
                         int64_t padded, int64_t out_stride, T* out) {
  for (int64_t i = 0; i < k; ++i) {
    for (int64_t j = 0; j < columns; ++j) out[i * out_stride + j] = b[i * row_stride + j * col_stride];
    for (int64_t j = columns; j < padded; ++j) out[i * out_stride + j] = T{};
  }
}

template <class T>
static void pack_contiguous(const T* b, int64_t row_stride, int64_t k, int64_t columns, int64_t width,
                            T* out) {
  using V = Vector<T>;
  constexpr int64_t kRowsAhead = 16;
  const int64_t whole = columns / V::kLanes * V::kLanes;
  for (int64_t i = 0; i < k; ++i) {
    const T* in = b + i * row_stride;
    __builtin_prefetch(in + kRowsAhead * row_stride);
    for (int64_t j = 0; j < whole; j += V::kLanes) store(out + i * width + j, load<V>(in + j));
    if (whole < columns) store(out + i * width + whole, load_partial<V>(in + whole, columns - whole));
    for (int64_t j = columns > whole ? whole + V::kLanes : whole; j < width; j += V::kLanes) {
      store(out + i * width + j, V{});
    }
  }
}

// Each column of b is contiguous: the packed panel is the transpose of what lies in memory.
template <class T>
static void pack_transposed(const T* b, int64_t col_stride, int64_t k, int64_t columns, int64_t width,
                            T* out) {
  constexpr int n = Vector<T>::kLanes;
  const int64_t whole_columns = columns / n * n, whole_k = k / n * n;
  for (int64_t i = 0; i < whole_k; i += n) {
    for (int64_t j = 0; j < whole_columns; j += n) {
      transpose_square(b + j * col_stride + i, col_stride, out + i * width + j, width);
    }
  }
  // What no square covers: the last rows of the panel, then its last columns.
  pack_general(b + whole_k, 1, col_stride, k - whole_k, whole_columns, whole_columns, width,
               out + whole_k * width);
  pack_general(b + whole_columns * col_stride, 1, col_stride, k, columns - whole_columns,
               width - whole_columns, width, out + whole_columns);
}

template <class T>
static void pack_panel(const T* b, int64_t row_stride, int64_t col_stride, int64_t k, int64_t columns,
                       int64_t width, T* out) {
  if (col_stride == 1) {
    pack_contiguous(b, row_stride, k, columns, width, out);
  } else if (row_stride == 1) {
    pack_transposed(b, col_stride, k, columns, width, out);
  } else {
    pack_general(b, row_stride, col_stride, k, columns, width, width, out);
  }
}

// Columns are contiguous. A fixed size is two or three moves; vectors that begin anywhere would lie across lines of the cache.
template <int Width, class T>
static void pack_columns(const T* a, int64_t col_stride, int64_t k, T* out) {
  for (int64_t i = 0; i < k; ++i) __builtin_memcpy(out + i * Width, a + i * col_stride, Width * sizeof(T));
}

// Rows are contiguous: squares are transposed. Each column is stored as a whole vector where the next ones overwrite what is too
// much. Gives how many of k that were.
template <class T>
static int64_t pack_squares(const T* a, int64_t row_stride, int64_t rows, int64_t k, int64_t width, T* out) {
  using V = Vector<T>;
  constexpr int n = V::kLanes;
  for (int64_t i = 0; i + n <= k; i += n) {
    V square[n];
    CALQUE_UNROLL for (int r = 0; r < n; ++r) square[r] = load<V>(a + (r < rows ? r : 0) * row_stride + i);
    transpose_step<1>(square);
    CALQUE_UNROLL for (int r = 0; r < n; ++r) {
      T* const column = out + (i + r) * width;
      if ((k - i - r) * width >= n) store(column, square[r]);
      else store_partial(column, square[r], width);
    }
  }
  return k / n * n;
}

template <class T>
static void pack_rows(const T* a, int64_t row_stride, int64_t col_stride, int64_t rows, int64_t readable_rows, int64_t k,
                      int64_t width, T* out) {
  constexpr int kLanes = Vector<T>::kLanes;
  if (row_stride == 1 && readable_rows >= width) {
    if (width == 12) return pack_columns<12>(a, col_stride, k, out);
    if (width == 6) return pack_columns<6>(a, col_stride, k, out);
    if (width == 4) return pack_columns<4>(a, col_stride, k, out);
  }
  const int64_t done = col_stride == 1 && width <= kLanes ? pack_squares(a, row_stride, rows, k, width, out) : 0;
  for (int64_t i = done; i < k; ++i) {
    for (int64_t r = 0; r < rows; ++r) out[i * width + r] = a[r * row_stride + i * col_stride];
  }
}

// --- The table ---

template <class T, int Vectors, int Rows>
static constexpr TileFunction<T> tile_or_null() {
  if constexpr (Vectors <= kPanelVectors && Rows <= max_tile_rows(Vectors)) {
    return multiply_tile<T, Rows, Vectors, 1>;
  } else {
    return nullptr;
  }
}

template <class T, int Vectors, int... Row>
static constexpr void fill_tiles(GemmTable<T>& table, Lanes<Row...>) {
  ((table.tiles[Vectors - 1][Row] = tile_or_null<T, Vectors, Row + 1>()), ...);
  table.max_rows[Vectors - 1] = Vectors <= kPanelVectors ? max_tile_rows(Vectors) : 0;
}

template <class T, int Rows, int Panels>
static constexpr void set_wide_tile(GemmTable<T>& table) {
  table.wide_panels[Rows - 1] = Panels;
  table.wide_tiles[Rows - 1] = multiply_tile<T, Rows, kPanelVectors, Panels>;
}

template <class T, int Vectors, int... Panel>
static constexpr void fill_group_tiles(GemmTable<T>& table, Lanes<Panel...>) {
  table.group_panels[Vectors - 1] = sizeof...(Panel);
  ((table.group_tiles[Vectors - 1][Panel] = multiply_tile<T, 1, Vectors, Panel + 1>), ...);
}

template <class T, int... Row>
static constexpr void fill_sum_tiles(GemmTable<T>& table, Lanes<Row...>) {
  if constexpr (kVectorBytes == 64) {
    table.sum_rows = kMaxSumRows;
    ((table.sum_tiles[Row] = multiply_sum_tile<T, Row + 1>), ...);
  }
}

template <class T>
static constexpr GemmTable<T> make_table() {
  GemmTable<T> table{};
  table.lanes = Vector<T>::kLanes;
  table.panel_vectors = kPanelVectors;
  using Rows = typename CountLanes<kMaxTileRows>::type;
  fill_tiles<T, 1>(table, Rows{});
  fill_tiles<T, 2>(table, Rows{});
  fill_tiles<T, 3>(table, Rows{});
  fill_tiles<T, 4>(table, Rows{});
  set_wide_tile<T, 1, (kVectorBytes == 64 ? 2 : kVectorBytes == 32 ? 4 : 1)>(table);
  set_wide_tile<T, 2, (kVectorBytes == 16 ? 1 : 2)>(table);
  set_wide_tile<T, 3, (kVectorBytes == 16 ? 1 : 2)>(table);
  fill_group_tiles<T, 1>(table, typename CountLanes<4>::type{});
  fill_group_tiles<T, 2>(table, typename CountLanes<4>::type{});
  // Wider parts have chains enough, and are read faster one after the other.
  if constexpr (kPanelVectors == 4) {
    fill_group_tiles<T, 3>(table, typename CountLanes<1>::type{});
    fill_group_tiles<T, 4>(table, typename CountLanes<1>::type{});
  }
  fill_sum_tiles<T>(table, typename CountLanes<kMaxSumRows>::type{});
  table.pack_panel = pack_panel<T>;
  table.pack_rows = pack_rows<T>;
  return table;
}

extern const GemmKernels kGemmKernels;
constexpr GemmKernels kTable = {make_table<float>(), make_table<double>()};
const GemmKernels kGemmKernels = kTable;

}  // namespace calque::kernels::CALQUE_ISA_LEVEL
