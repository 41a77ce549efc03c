// Drives the matrix product: blocks it for the caches, packs, and calls the level's tiles.
//
// Order of the loops: blocks of rows, groups of k (of one long product or of many short ones), panels of
// columns, tiles of rows. Few rows are read in place, and then groups of k come inside of panels, which lie in
// memory one behind the other. A chain that a group cuts is carried through memory, which is exact.
#include "runtime/kernels/gemm.h"

#include <algorithm>

#include "runtime/kernels/gemm_kernels.h"
#include "runtime/kernels/kept_buffer.h"
#include "runtime/kernels/product_chunks.h"
#include "runtime/kernels/product_pieces.h"
#include "runtime/kernels/row_columns.h"
#include "runtime/thread_pool.h"

namespace calque::kernels {
namespace {

constexpr int64_t kBlockK = 256;      // of a group: its panel of b (64 KB) and rows of a stay in L2
constexpr int64_t kSumBlockK = 96;    // of a group of short products, whose panel of b (24 KB) stays in L1
constexpr int64_t kSumStripRows = 12;  // of a strip of packed a that several tiles share
constexpr int64_t kBlockRows = 480;   // rows of a group whose packed a stays in L2
constexpr int64_t kMaxParts = 64;     // products in a group
constexpr int64_t kTileBytes = 2048;  // more than any tile of c
// The whole panels of columns from which packing a pays: sooner where the values of a row are not contiguous.
constexpr int64_t kPackRowsPanels = 12;
constexpr int64_t kPackTransposedRowsPanels = 3;
// Up to so many rows of contiguous values stay in the cache as they are.
constexpr int64_t kRowsInPlace = 128;

// The product as it is computed: c transposed and the operands exchanged where n is too small for vectors.
template <class T>
struct Problem {
  int64_t m, n;
  bool exchanged;
  T* c;
  int64_t c_row_stride, c_col_stride;

  MatrixView<T> a(const ProductTerm<T>& t) const { return exchanged ? transposed(t.b) : t.a; }
  MatrixView<T> b(const ProductTerm<T>& t) const { return exchanged ? transposed(t.a) : t.b; }
  static MatrixView<T> transposed(MatrixView<T> v) { return {v.data, v.col_stride, v.row_stride}; }
};

template <class T>
Problem<T> problem_of(const ProductSum<T>& p, const GemmTable<T>& table) {
  bool exchange = p.n < p.m && p.n * 4 <= table.lanes;
  for (int64_t t = 0; exchange && t < p.term_count; ++t) exchange = p.terms[t].packed_b == nullptr;
  if (exchange) return {p.n, p.m, true, p.c, 1, p.c_row_stride};
  return {p.m, p.n, false, p.c, p.c_row_stride, 1};
}

template <class T>
bool is_short(const ProductTerm<T>& term, const GemmTable<T>& table) {
  return table.sum_rows > 0 && 2 * term.k <= kSumBlockK;
}

// Whether so many rows of a are read as they lie, unpacked.
template <class T>
bool reads_in_place(const ProductSum<T>& sum, const Problem<T>& problem, const GemmTable<T>& table, int64_t rows) {
  if (rows <= kMaxWideRows) return true;
  if (rows > kRowsInPlace) return false;
  return std::all_of(sum.terms, sum.terms + sum.term_count, [&](const ProductTerm<T>& term) {
    return !is_short(term, table) && (term.k <= 1 || problem.a(term).col_stride == 1);
  });
}

template <class T>
ProductChunks chunks_of(const ProductSum<T>& sum, const Problem<T>& problem, const GemmTable<T>& table, int team) {
  int64_t k = 0;
  for (int64_t t = 0; t < sum.term_count; ++t) k += sum.terms[t].k;
  const bool packs_rows = !reads_in_place(sum, problem, table, problem.m);
  int64_t columns = table.lanes * table.panel_vectors;
  if (problem.m > 0 && problem.m <= kMaxWideRows) {  // there are no rows to share
    if (problem.n >= 2 * team * columns) columns *= table.wide_panels[problem.m - 1];
    while (columns > table.lanes && ceil_div(problem.n, columns) < team) columns /= 2;
  }
  return {problem.m, problem.n, k, columns, packs_rows, team};
}

struct ThreadBuffers {
  KeptBuffer a, b, carry;
};
thread_local ThreadBuffers thread_buffers;

// A run of k of one term within a group.
template <class T>
struct Part {
  const ProductTerm<T>* term;
  int64_t k_begin, k;
  bool starts, ends, adds;
};

// A part of c, computed by one thread.
template <class T>
class ChunkProduct {
 public:
  ChunkProduct(const ProductSum<T>& sum, const Problem<T>& problem, const ProductChunk& chunk,
               const GemmTable<T>& table, Order order, int64_t repeats = 1, int64_t stride = 0)
      : sum_(sum),
        problem_(problem),
        chunk_(chunk),
        table_(table),
        grid_(table, sum.panel_columns),
        pieces_(chunk.col_begin, chunk.col_end, repeats, stride, order, table, grid_) {}

  void run() {
    if (chunk_.row_begin >= chunk_.row_end || chunk_.col_begin >= chunk_.col_end) return;
    if (sum_.term_count == 0) return clear();
    const int64_t rows = chunk_.row_end - chunk_.row_begin;
    in_place_ = reads_in_place(sum_, problem_, table_, rows);
    block_k_ = in_place_ ? kBlockKInPlace : kBlockK;
    prepare_carry();
    const int64_t blocks = rows <= block_rows_ ? 1 : ceil_div(rows, block_rows_);
    for (int64_t block = 0; block < blocks; ++block) {
      row_begin_ = blocks == 1 ? chunk_.row_begin : chunk_.row_begin + rows * block / blocks;
      row_end_ = blocks == 1 ? chunk_.row_end : chunk_.row_begin + rows * (block + 1) / blocks;
      if (in_place_) pieces_.for_each(row_end_ - row_begin_, [this](const Piece& piece) { multiply_groups_of(piece); });
      else multiply_groups();
    }
  }

 private:
  void clear();
  void prepare_carry();
  void begin_groups();
  bool next_group();
  void multiply_groups();
  void multiply_groups_of(const Piece& piece);
  void pack_group_rows();
  void prepare_segments(const Piece& piece);
  void point_at_rows(const Part<T>& part, int64_t packed_k, ProductSegment<T>& segment) const;
  T* point_at_columns(const Part<T>& part, const Piece& piece, T* buffer, ProductSegment<T>& segment) const;
  void pack_part(const Part<T>& part, const Piece& piece, T* out) const;
  void multiply_piece(const Piece& piece);
  void multiply_edge_tile(const Piece& piece, TileFunction<T> multiply, int64_t row, int64_t rows,
                          ProductTile<T> tile);
  void multiply_strip(const Piece& piece, int64_t strip);
  bool sums() const { return short_products_ && packed_rows_ != nullptr; }
  int64_t strip_begin(int64_t strip) const;
  int64_t tile_rows(const Piece& piece) const;
  TileFunction<T> tile_function(const Piece& piece, int64_t rows) const;

  const ProductSum<T>& sum_;
  const Problem<T>& problem_;
  const ProductChunk& chunk_;
  const GemmTable<T>& table_;
  const PanelGrid grid_;
  const ProductPieces<T> pieces_;

  bool in_place_ = false;  // rows of a are read as they lie
  int64_t block_rows_ = kBlockRows, block_k_ = kBlockK;
  T* carry_ = nullptr;  // null: unfinished chains are kept in c itself
  int64_t carry_row_stride_ = 0;

  int64_t row_begin_ = 0, row_end_ = 0;  // of the block
  int64_t term_ = 0, term_k_ = 0;        // where the next group begins
  Part<T> parts_[kMaxParts];
  ProductSegment<T> segments_[kMaxParts];
  int64_t part_count_ = 0, group_k_ = 0;
  bool short_products_ = false;  // the group is made of whole short products
  T* packed_rows_ = nullptr;     // a of the group in strips [strip][k][strip_rows_]; null: read in place
  int64_t strip_rows_ = 0, strips_ = 1;
};

template <class T>
void ChunkProduct<T>::clear() {
  if (sum_.accumulate) return;
  for (int64_t i = chunk_.row_begin; i < chunk_.row_end; ++i) {
    pieces_.for_each_column([&](int64_t j) { problem_.c[i * problem_.c_row_stride + j * problem_.c_col_stride] = T{}; });
  }
}

// A chain that is cut may be kept in c only if nothing else is summed there.
template <class T>
void ChunkProduct<T>::prepare_carry() {
  if (sum_.term_count == 1 && !sum_.accumulate) return;
  bool cut = false;
  for (int64_t t = 0; !cut && t < sum_.term_count; ++t) cut = sum_.terms[t].k > block_k_;
  if (!cut) return;
  const int64_t columns = pieces_.carry_columns();
  block_rows_ = std::clamp<int64_t>((int64_t{1} << 18) / columns, kMaxTileRows, kBlockRows);
  carry_row_stride_ = columns;
  carry_ = thread_buffers.carry.template reserve<T>(std::min(block_rows_, chunk_.row_end - chunk_.row_begin) *
                                                    columns);
}

template <class T>
void ChunkProduct<T>::begin_groups() {
  term_ = 0;
  term_k_ = 0;
}

// Takes products, or even parts of a long one, until about a block of k is together.
template <class T>
bool ChunkProduct<T>::next_group() {
  part_count_ = 0;
  group_k_ = 0;
  while (term_ < sum_.term_count && part_count_ < kMaxParts) {
    const ProductTerm<T>& term = sum_.terms[term_];
    const int64_t most = term.k <= block_k_ ? term.k : ceil_div(term.k, ceil_div(term.k, block_k_));
    const int64_t k = std::min(most, term.k - term_k_);
    if (part_count_ == 0) short_products_ = is_short(term, table_);
    if (part_count_ > 0 && group_k_ + k > (short_products_ ? kSumBlockK : block_k_)) break;
    const bool ends = term_k_ + k == term.k;
    parts_[part_count_++] = {&term, term_k_, k, term_k_ == 0, ends, term_ > 0 || sum_.accumulate};
    group_k_ += k;
    term_k_ = ends ? 0 : term_k_ + k;
    term_ += ends;
  }
  return part_count_ > 0;
}

template <class T>
int64_t ChunkProduct<T>::tile_rows(const Piece& piece) const {
  if (piece.panels > 1) return kMaxWideRows;
  if (packed_rows_ == nullptr) return table_.max_rows[piece.vectors - 1];
  return sums() ? table_.sum_rows : strip_rows_;
}

template <class T>
TileFunction<T> ChunkProduct<T>::tile_function(const Piece& piece, int64_t rows) const {
  if (piece.is_group) return table_.group_tiles[piece.vectors - 1][piece.panels - 1];
  if (piece.panels > 1) return table_.wide_tiles[rows - 1];
  if (sums() && piece.vectors == table_.panel_vectors) return table_.sum_tiles[rows - 1];
  return table_.tiles[piece.vectors - 1][rows - 1];
}

// The first row of a strip within the block: one strip of all rows if a is not packed; strips of one tile are
// equally high, those of several are full, to make full tiles.
template <class T>
int64_t ChunkProduct<T>::strip_begin(int64_t strip) const {
  const int64_t rows = row_end_ - row_begin_;
  if (strip == 0 || strip == strips_) return strip == 0 ? 0 : rows;
  return sums() ? std::min(rows, strip * strip_rows_) : rows * strip / strips_;
}

template <class T>
void ChunkProduct<T>::multiply_groups() {
  begin_groups();
  while (next_group()) {
    pack_group_rows();
    pieces_.for_each(row_end_ - row_begin_, [this](const Piece& piece) {
      prepare_segments(piece);
      multiply_piece(piece);
    });
  }
}

template <class T>
void ChunkProduct<T>::multiply_groups_of(const Piece& piece) {
  packed_rows_ = nullptr;
  strips_ = 1;
  begin_groups();
  while (next_group()) {
    prepare_segments(piece);
    multiply_piece(piece);
  }
}

// Packs a where enough panels use it again.
template <class T>
void ChunkProduct<T>::pack_group_rows() {
  packed_rows_ = nullptr;
  strips_ = 1;
  const int64_t rows = row_end_ - row_begin_;
  const int64_t panels = pieces_.columns() / grid_.panel;
  bool contiguous = true;
  for (int64_t i = 0; i < part_count_; ++i) {
    contiguous &= parts_[i].k <= 1 || problem_.a(*parts_[i].term).col_stride == 1;
  }
  if (panels < (contiguous ? kPackRowsPanels : kPackTransposedRowsPanels)) return;
  strip_rows_ = short_products_ ? kSumStripRows : table_.max_rows[table_.panel_vectors - 1];
  strips_ = ceil_div(rows, strip_rows_);
  packed_rows_ = thread_buffers.a.template reserve<T>(strips_ * strip_rows_ * group_k_);
  for (int64_t strip = 0; strip < strips_; ++strip) {
    const int64_t first = strip_begin(strip), count = strip_begin(strip + 1) - first;
    T* out = packed_rows_ + strip * strip_rows_ * group_k_;
    for (int64_t i = 0; i < part_count_; ++i) {
      const Part<T>& part = parts_[i];
      if (part.k == 0) continue;
      const MatrixView<T> a = problem_.a(*part.term);
      const T* from = a.data + (row_begin_ + first) * a.row_stride + part.k_begin * a.col_stride;
      const int64_t readable = problem_.m - row_begin_ - first;
      table_.pack_rows(from, a.row_stride, a.col_stride, count, readable, part.k, strip_rows_, out);
      out += part.k * strip_rows_;
    }
  }
}

template <class T>
void ChunkProduct<T>::pack_part(const Part<T>& part, const Piece& piece, T* out) const {
  const MatrixView<T> b = problem_.b(*part.term);
  const int64_t width = piece.vectors * table_.lanes;
  for (int p = 0; p < piece.panels; ++p) {
    const int64_t column = piece.column + p * piece.panel_stride, columns = std::min(piece.columns, width);
    table_.pack_panel(b.data + part.k_begin * b.row_stride + column * b.col_stride, b.row_stride,
                      b.col_stride, part.k, columns, width, out + p * part.k * width);
  }
}

template <class T>
void ChunkProduct<T>::prepare_segments(const Piece& piece) {
  T* buffer = thread_buffers.b.template reserve<T>(block_k_ * grid_.panel * kMaxWidePanels);
  int64_t packed_k = 0;  // before this part, in the strips of a
  for (int64_t i = 0; i < part_count_; ++i) {
    const Part<T>& part = parts_[i];
    ProductSegment<T>& segment = segments_[i] = {};
    segment.k = part.k;
    segment.starts = part.starts;
    segment.ends = part.ends;
    segment.adds = part.adds;
    if (part.k == 0) continue;  // a sum of nothing, +0: its operands may be null
    point_at_rows(part, packed_k, segment);
    buffer = point_at_columns(part, piece, buffer, segment);
    packed_k += part.k;
  }
}

// a: packed with its group, or in place.
template <class T>
void ChunkProduct<T>::point_at_rows(const Part<T>& part, int64_t packed_k, ProductSegment<T>& segment) const {
  if (packed_rows_ != nullptr) {
    segment.a = packed_rows_ + packed_k * strip_rows_;
    segment.a_tile_stride = 1;
    segment.a_row_stride = 1;
    segment.a_col_stride = strip_rows_;
    return;
  }
  const MatrixView<T> a = problem_.a(*part.term);
  segment.a = a.data + row_begin_ * a.row_stride + part.k_begin * a.col_stride;
  segment.a_tile_stride = a.row_stride;
  segment.a_row_stride = a.row_stride;
  segment.a_col_stride = a.col_stride;
}

// b: packed by the caller, in place, or packed here into `buffer`, of which the rest is returned.
template <class T>
T* ChunkProduct<T>::point_at_columns(const Part<T>& part, const Piece& piece, T* buffer,
                                     ProductSegment<T>& segment) const {
  const int64_t rows = row_end_ - row_begin_;
  if (reads_columns(*part.term, problem_.b(*part.term), rows, problem_.n, part.k_begin, piece, grid_, segment)) return buffer;
  const int64_t width = piece.vectors * table_.lanes;
  pack_part(part, piece, buffer);
  segment.b = buffer;
  segment.b_row_stride = width;
  segment.b_panel_stride = width * part.k;
  return buffer + part.k * width * piece.panels;
}

template <class T>
void ChunkProduct<T>::multiply_piece(const Piece& piece) {
  for (int64_t strip = 0; strip < strips_; ++strip) multiply_strip(piece, strip);
}

template <class T>
void ChunkProduct<T>::multiply_strip(const Piece& piece, int64_t strip) {
  const int64_t begin = strip_begin(strip), rows = strip_begin(strip + 1) - begin;
  const int64_t most = tile_rows(piece), tiles = rows <= most ? 1 : ceil_div(rows, most);
  const bool edge = problem_.c_col_stride != 1 || (piece.columns & (table_.lanes - 1)) != 0;
  const int64_t least = tiles == 1 ? rows : rows / tiles, higher = rows - least * tiles;
  int64_t inside = 0;
  for (int64_t t = 0; t < tiles; ++t) {
    const int64_t count = least + (t < higher), first = begin + inside;
    const TileFunction<T> multiply = tile_function(piece, count);
    ProductTile<T> tile{};
    tile.a_index = packed_rows_ != nullptr ? strip * strip_rows_ * group_k_ + inside : first;
    tile.c = problem_.c + (row_begin_ + first) * problem_.c_row_stride + piece.column * problem_.c_col_stride;
    tile.c_row_stride = problem_.c_row_stride;
    tile.c_panel_stride = piece.panel_stride;
    tile.carry = carry_ != nullptr ? carry_ + first * carry_row_stride_ + piece.carry_column : tile.c;
    tile.carry_row_stride = carry_ != nullptr ? carry_row_stride_ : tile.c_row_stride;
    tile.carry_panel_stride = carry_ != nullptr ? piece.carry_panel_stride : tile.c_panel_stride;
    if (edge) {
      multiply_edge_tile(piece, multiply, row_begin_ + first, count, tile);
    } else {
      multiply(segments_, part_count_, tile);
    }
    inside += count;
  }
}

// A tile that c does not hold in whole vectors is computed beside c.
template <class T>
void ChunkProduct<T>::multiply_edge_tile(const Piece& piece, TileFunction<T> multiply, int64_t row,
                                         int64_t rows, ProductTile<T> tile) {
  alignas(64) T beside[kTileBytes / sizeof(T)];
  const int64_t stride = piece.vectors * piece.panels * table_.lanes;
  T* c = problem_.c + row * problem_.c_row_stride + piece.column * problem_.c_col_stride;
  const bool reads_c = parts_[0].adds || (carry_ == nullptr && !parts_[0].starts);
  for (int64_t i = 0; i < rows; ++i) {
    for (int64_t j = 0; j < stride; ++j) {
      const bool inside = reads_c && j < piece.columns;
      beside[i * stride + j] = inside ? c[i * problem_.c_row_stride + j * problem_.c_col_stride] : T{};
    }
  }
  tile.c = beside;
  tile.c_row_stride = stride;
  tile.c_panel_stride = piece.vectors * table_.lanes;
  if (carry_ == nullptr) {
    tile.carry = beside;
    tile.carry_row_stride = stride;
    tile.carry_panel_stride = tile.c_panel_stride;
  }
  multiply(segments_, part_count_, tile);
  if (carry_ != nullptr && !parts_[0].ends) return;  // all that was made is in the carry
  for (int64_t i = 0; i < rows; ++i) {
    for (int64_t j = 0; j < piece.columns; ++j) {
      c[i * problem_.c_row_stride + j * problem_.c_col_stride] = beside[i * stride + j];
    }
  }
}

}  // namespace

template <class T>
int64_t packed_elements(int64_t k, int64_t n, IsaLevel level) {
  const int64_t lanes = gemm_table<T>(level).lanes;
  return k * ceil_div(n, lanes) * lanes;
}

template <class T>
void pack(MatrixView<T> b, int64_t k, int64_t n, T* out, Team& team, int64_t panel_columns, IsaLevel level) {
  if (k <= 0) return;
  const GemmTable<T>& table = gemm_table<T>(level);
  const int64_t panel = PanelGrid(table, panel_columns).panel, panels = ceil_div(n, panel);
  for (int64_t p = panels * team.rank / team.size; p < panels * (team.rank + 1) / team.size; ++p) {
    const int64_t columns = std::min(panel, n - p * panel),
                  width = ceil_div(columns, table.lanes) * table.lanes;
    table.pack_panel(b.data + p * panel * b.col_stride, b.row_stride, b.col_stride, k, columns, width,
                     out + p * panel * k);
  }
}

template <class T>
void product_columns(const ProductSum<T>& product, int64_t begin, int64_t end, int64_t repeats, int64_t stride,
                     Order order, IsaLevel level) {
  const GemmTable<T>& table = gemm_table<T>(level);
  Problem<T> problem = problem_of(product, table);
  if (problem.exchanged) problem = {product.m, product.n, false, product.c, product.c_row_stride, 1};
  const PanelGrid grid(table, product.panel_columns);
  if (multiply_row(product, ProductPieces<T>(begin, end, repeats, stride, order, table, grid), table, grid)) return;
  const ProductChunk chunk{0, product.m, begin, end};
  ChunkProduct<T>(product, problem, chunk, table, order, repeats, stride).run();
}

template <class T>
void product_sum(const ProductSum<T>& product, Team& team, Order order, IsaLevel level) {
  const GemmTable<T>& table = gemm_table<T>(level);
  const Problem<T> problem = problem_of(product, table);
  const ProductChunks chunks = chunks_of(product, problem, table, team.size);
  const PanelGrid grid(table, product.panel_columns);
  team.share(chunks.count(), order, [&](int64_t i) {
    const ProductChunk chunk = chunks[i];
    if (!problem.exchanged &&
        multiply_row(product, ProductPieces<T>(chunk.col_begin, chunk.col_end, 1, 0, order, table, grid), table, grid))
      return;
    ChunkProduct<T>(product, problem, chunk, table, order).run();
  });
}

template int64_t packed_elements<float>(int64_t, int64_t, IsaLevel);
template int64_t packed_elements<double>(int64_t, int64_t, IsaLevel);
template void pack<float>(MatrixView<float>, int64_t, int64_t, float*, Team&, int64_t, IsaLevel);
template void pack<double>(MatrixView<double>, int64_t, int64_t, double*, Team&, int64_t, IsaLevel);
template void product_columns<float>(const ProductSum<float>&, int64_t, int64_t, int64_t, int64_t, Order,
                                     IsaLevel);
template void product_columns<double>(const ProductSum<double>&, int64_t, int64_t, int64_t, int64_t, Order,
                                     IsaLevel);
template void product_sum<float>(const ProductSum<float>&, Team&, Order, IsaLevel);
template void product_sum<double>(const ProductSum<double>&, Team&, Order, IsaLevel);

}  // namespace calque::kernels
