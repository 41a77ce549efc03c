// Drives the products of a stack: block by block of k, each chunk a panel of b times all rows, or some of them.
#include "runtime/kernels/product_stack.h"

#include <algorithm>

#include "runtime/kernels/gemm_kernels.h"
#include "runtime/kernels/kept_buffer.h"
#include "runtime/thread_pool.h"

namespace calque::kernels {
namespace {

constexpr int64_t kBlockK = 512;       // its panel of b (128 KB) stays in L2; a longer one would save little more of c's way
constexpr int64_t kChunksForEach = 4;  // for each member, at least, where there are rows enough
constexpr int64_t kLeastStrips = 16;   // of a chunk: a panel is packed for each
constexpr int64_t kStripsTogether = 4;  // that are packed one after the other

thread_local KeptBuffer panel_buffer;

template <class T>
class StackProduct {
 public:
  StackProduct(const ProductStack<T>& stack, T* memory, const GemmTable<T>& table)
      : stack_(stack),
        table_(table),
        memory_(memory),
        strip_rows_(table.max_rows[table.panel_vectors - 1]),
        panel_columns_(int64_t{table.lanes} * table.panel_vectors),
        panels_(ceil_div(stack.n, panel_columns_)),
        blocks_(std::max<int64_t>(ceil_div(stack.k, kBlockK), 1)),
        block_k_(ceil_div(stack.k, blocks_)) {
    for (int64_t i = 0; i < stack.block_count; ++i) strips_ += strips_of(stack.blocks[i]);
  }

  int64_t elements() const { return 2 * block_elements(); }

  void run(Team& team) const {
    if (strips_ == 0 || stack_.n == 0) return;
    team.share(ceil_div(strips_, kStripsTogether), Order::ascending, [&](int64_t i) {
      pack_rows(0, i * kStripsTogether, std::min(strips_, (i + 1) * kStripsTogether));
    });
    const int64_t row_parts = std::clamp<int64_t>(kChunksForEach * team.size / panels_, 1, ceil_div(strips_, kLeastStrips));
    const int64_t chunks = panels_ * row_parts;
    for (int64_t block = 0; block < blocks_; ++block) {
      team.barrier();
      team.share(chunks, Order::ascending, [&](int64_t i) {
        const int64_t part = i / panels_;
        multiply(block, i % panels_, strips_ * part / row_parts, strips_ * (part + 1) / row_parts);
        if (block + 1 < blocks_) pack_rows(block + 1, strips_ * i / chunks, strips_ * (i + 1) / chunks);
      });
    }
  }

 private:
  int64_t strips_of(const StackedRows<T>& rows) const { return ceil_div(rows.m, strip_rows_); }
  int64_t strip_elements() const { return strip_rows_ * block_k_; }
  int64_t block_elements() const { return ceil_div(strips_ * strip_elements(), table_.lanes) * table_.lanes; }
  int64_t k_of(int64_t block) const { return std::min(block_k_, stack_.k - block * block_k_); }
  T* strip_at(int64_t block, int64_t strip) const {
    return memory_ + (block & 1) * block_elements() + strip * strip_elements();
  }
  int64_t columns_of(int64_t panel) const { return std::min(panel_columns_, stack_.n - panel * panel_columns_); }
  int64_t vectors_of(int64_t panel) const { return ceil_div(columns_of(panel), table_.lanes); }

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

  // Into the half of the memory that the block before does not use.
  void pack_rows(int64_t block, int64_t strip_begin, int64_t strip_end) const {
    if (k_of(block) == 0) return;
    for_each_strip(strip_begin, strip_end, [&](int64_t strip, const StackedRows<T>& rows, int64_t first, int64_t end) {
      const MatrixView<T> a = rows.a;
      table_.pack_rows(a.data + first * a.row_stride + block * block_k_ * a.col_stride, a.row_stride, a.col_stride, end - first,
                       rows.m - first, k_of(block), strip_rows_, strip_at(block, strip));
    });
  }

  // A panel of b is packed where it is used: no other member needs it.
  const T* pack_panel(int64_t block, int64_t panel) const {
    T* const out = panel_buffer.reserve<T>(panel_columns_ * block_k_);
    const MatrixView<T> b = stack_.b;
    if (k_of(block) == 0) return out;
    table_.pack_panel(b.data + block * block_k_ * b.row_stride + panel * panel_columns_ * b.col_stride, b.row_stride, b.col_stride,
                      k_of(block), columns_of(panel), vectors_of(panel) * table_.lanes, out);
    return out;
  }

  void multiply(int64_t block, int64_t panel, int64_t strip_begin, int64_t strip_end) const {
    const int64_t columns = columns_of(panel), vectors = vectors_of(panel);
    ProductSegment<T> segment{};
    segment.a_row_stride = 1;
    segment.a_col_stride = strip_rows_;
    segment.b = pack_panel(block, panel);
    segment.b_row_stride = vectors * table_.lanes;
    segment.k = k_of(block);
    segment.starts = block == 0;
    segment.ends = true;
    for_each_strip(strip_begin, strip_end, [&](int64_t strip, const StackedRows<T>& rows, int64_t first, int64_t end) {
      segment.a = strip_at(block, strip);
      T* const c = rows.c + first * rows.c_row_stride + panel * panel_columns_;
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
  const int64_t panels_, blocks_, block_k_;
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
