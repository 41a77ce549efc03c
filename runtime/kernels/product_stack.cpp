// Drives the products of a stack: blocks of columns and of k, each packed while the tiles of the one before are computed.
//
// A member's share of a block is some chunks: a panel of b and, as it stays in the cache, about half a megabyte of rows.
#include "runtime/kernels/product_stack.h"

#include <algorithm>

#include "runtime/kernels/gemm_kernels.h"
#include "runtime/thread_pool.h"

namespace calque::kernels {
namespace {

constexpr int64_t kBlockK = 320;        // its panel of b (80 KB) and the rows of a chunk stay in L2
constexpr int64_t kBlockColumns = 2048;
constexpr int64_t kChunkRows = 512;
constexpr int64_t kPackedTogether = 8;  // of k: rows that are read side by side

template <class T>
class StackProduct {
 public:
  StackProduct(const ProductStack<T>& stack, T* memory, const GemmTable<T>& table)
      : stack_(stack),
        table_(table),
        memory_(memory),
        strip_rows_(table.max_rows[table.panel_vectors - 1]),
        panel_columns_(int64_t{table.lanes} * table.panel_vectors),
        k_blocks_(std::max<int64_t>(ceil_div(stack.k, kBlockK), 1)),
        block_k_(ceil_div(stack.k, k_blocks_)),
        block_columns_(std::min(kBlockColumns, ceil_div(stack.n, panel_columns_) * panel_columns_)) {
    for (int64_t i = 0; i < stack.block_count; ++i) strips_ += strips_of(stack.blocks[i]);
  }

  int64_t elements() const { return 2 * block_elements(); }

  void run(Team& team) const {
    if (strips_ == 0 || stack_.n == 0) return;
    const int64_t blocks = k_blocks_ * ceil_div(stack_.n, block_columns_);
    for (int64_t number = -1; number < blocks; ++number) {
      const Block block = block_at(number), next = block_at(number + 1);
      const int64_t panels = number < 0 ? 0 : ceil_div(block.columns, panel_columns_);
      const int64_t row_parts = ceil_div(strips_ * strip_rows_, kChunkRows), tiles = panels * row_parts;
      const int64_t packs = number + 1 < blocks ? ceil_div(next.k, kPackedTogether) : 0;
      team.share(tiles + packs, Order::ascending, [&](int64_t i) {
        if (i >= tiles) return pack(next, (i - tiles) * kPackedTogether);
        const int64_t part = i / panels;
        multiply(block, i % panels, strips_ * part / row_parts, strips_ * (part + 1) / row_parts);
      });
      if (number + 1 < blocks) team.barrier();
    }
  }

 private:
  struct Block {
    int64_t k_begin, k, column_begin, columns;
    T* memory;  // its panels of b, then its strips of a
  };

  Block block_at(int64_t number) const {
    const int64_t k_begin = number % k_blocks_ * block_k_, column = number / k_blocks_ * block_columns_;
    return {k_begin, std::min(block_k_, stack_.k - k_begin), column, std::min(block_columns_, stack_.n - column),
            memory_ + (number & 1) * block_elements()};
  }

  int64_t strips_of(const StackedRows<T>& rows) const { return ceil_div(rows.m, strip_rows_); }
  // A cache line more than is needed: else all panels would begin in the same set of the cache.
  int64_t panel_elements() const { return panel_columns_ * block_k_ + table_.lanes; }
  int64_t strip_elements() const { return strip_rows_ * block_k_; }
  int64_t panels_elements() const { return ceil_div(block_columns_, panel_columns_) * panel_elements(); }
  int64_t block_elements() const {
    return panels_elements() + ceil_div(strips_ * strip_elements(), table_.lanes) * table_.lanes;
  }
  T* panel_at(const Block& block, int64_t panel) const { return block.memory + panel * panel_elements(); }
  T* strip_at(const Block& block, int64_t strip) const { return block.memory + panels_elements() + strip * strip_elements(); }
  int64_t columns_of(const Block& block, int64_t panel) const {
    return std::min(panel_columns_, block.columns - panel * panel_columns_);
  }

  // Calls f(strip, rows, first, end) for the strips [begin, end), with the rows of its product that each covers: about as many in
  // each.
  template <class Function>
  void for_each_strip(int64_t begin, int64_t end, const Function& f) const {
    int64_t before = 0;
    for (int64_t i = 0; i < stack_.block_count; ++i) {
      const StackedRows<T>& rows = stack_.blocks[i];
      const int64_t count = strips_of(rows);
      for (int64_t strip = std::max(begin, before); strip < std::min(end, before + count); ++strip)
        f(strip, rows, rows.m * (strip - before) / count, rows.m * (strip - before + 1) / count);
      before += count;
    }
  }

  // Some rows of b and columns of a, as they lie side by side in memory.
  void pack(const Block& block, int64_t k_inside) const {
    const int64_t at = block.k_begin + k_inside, k = std::min(kPackedTogether, block.k - k_inside);
    const MatrixView<T> b = stack_.b;
    for (int64_t panel = 0; panel * panel_columns_ < block.columns; ++panel) {
      const int64_t columns = columns_of(block, panel), width = ceil_div(columns, table_.lanes) * table_.lanes;
      const T* from = b.data + at * b.row_stride + (block.column_begin + panel * panel_columns_) * b.col_stride;
      table_.pack_panel(from, b.row_stride, b.col_stride, k, columns, width, panel_at(block, panel) + k_inside * width);
    }
    for_each_strip(0, strips_, [&](int64_t strip, const StackedRows<T>& rows, int64_t first, int64_t end) {
      const T* from = rows.a.data + first * rows.a.row_stride + at * rows.a.col_stride;
      table_.pack_rows(from, rows.a.row_stride, rows.a.col_stride, end - first, rows.m - first, k, strip_rows_,
                       strip_at(block, strip) + k_inside * strip_rows_);
    });
  }

  void multiply(const Block& block, int64_t panel, int64_t strip_begin, int64_t strip_end) const {
    const int64_t columns = columns_of(block, panel), vectors = ceil_div(columns, table_.lanes);
    const int64_t column = block.column_begin + panel * panel_columns_;
    ProductSegment<T> segment{};
    segment.a_row_stride = 1;
    segment.a_col_stride = strip_rows_;
    segment.b = panel_at(block, panel);
    segment.b_row_stride = vectors * table_.lanes;
    segment.k = block.k;
    segment.starts = block.k_begin == 0 && !stack_.continues;
    segment.ends = true;
    for_each_strip(strip_begin, strip_end, [&](int64_t strip, const StackedRows<T>& rows, int64_t first, int64_t end) {
      segment.a = strip_at(block, strip);
      T* c = rows.c + first * rows.c_row_stride + column;
      const TileFunction<T> tile = table_.tiles[vectors - 1][end - first - 1];
      if (columns % table_.lanes != 0) return multiply_beside(segment, tile, c, rows.c_row_stride, end - first, columns);
      if (end < rows.m) fetch(c + (end - first) * rows.c_row_stride, rows.c_row_stride, vectors);
      tile(&segment, 1, {0, c, rows.c_row_stride, 0, c, rows.c_row_stride, 0});
    });
  }

  // The next tile of c, which is in no cache near by.
  void fetch(const T* c, int64_t row_stride, int64_t vectors) const {
    for (int64_t i = 0; i < strip_rows_; ++i)
      for (int64_t v = 0; v < vectors; ++v) __builtin_prefetch(c + i * row_stride + v * table_.lanes, 1);
  }

  // A tile that c does not hold in whole vectors.
  void multiply_beside(const ProductSegment<T>& segment, TileFunction<T> tile, T* c, int64_t row_stride, int64_t rows,
                       int64_t columns) const {
    constexpr int64_t kMostColumns = 64 / sizeof(T) * kMaxPanelVectors;
    alignas(64) T beside[kMaxTileRows * kMostColumns] = {};
    for (int64_t i = 0; i < rows && !segment.starts; ++i) std::copy_n(c + i * row_stride, columns, beside + i * kMostColumns);
    tile(&segment, 1, {0, beside, kMostColumns, 0, beside, kMostColumns, 0});
    for (int64_t i = 0; i < rows; ++i) std::copy_n(beside + i * kMostColumns, columns, c + i * row_stride);
  }

  const ProductStack<T>& stack_;
  const GemmTable<T>& table_;
  T* const memory_;
  const int64_t strip_rows_, panel_columns_;
  const int64_t k_blocks_, block_k_, block_columns_;
  int64_t strips_ = 0;
};

}  // namespace

bool is_worth_stacking(int64_t rows, int64_t n, int64_t k) {
  constexpr int64_t kLeastRows = 96, kMostRows = 4096, kLeastColumns = 64, kLeastK = 128;
  constexpr int64_t kLeastElements = 1 << 16;  // of c: so much work lies between two barriers
  return rows >= kLeastRows && rows <= kMostRows && n >= kLeastColumns && k >= kLeastK && rows * n >= kLeastElements;
}

template <class T>
int64_t stack_elements(const ProductStack<T>& stack, IsaLevel level) {
  return StackProduct<T>(stack, nullptr, gemm_table<T>(level)).elements();
}

template <class T>
void product_stack(const ProductStack<T>& stack, T* memory, Team& team, IsaLevel level) {
  StackProduct<T>(stack, memory, gemm_table<T>(level)).run(team);
}

template int64_t stack_elements<float>(const ProductStack<float>&, IsaLevel);
template int64_t stack_elements<double>(const ProductStack<double>&, IsaLevel);
template void product_stack<float>(const ProductStack<float>&, float*, Team&, IsaLevel);
template void product_stack<double>(const ProductStack<double>&, double*, Team&, IsaLevel);

}  // namespace calque::kernels
