// How a matrix product is cut into parts that any thread may compute: many enough that a slow core delays nobody, large enough
// that packing rows for each costs little.
#pragma once

#include <algorithm>
#include <cstdint>

namespace calque::kernels {

// A part of c.
struct ProductChunk {
  int64_t row_begin, row_end, col_begin, col_end;
};

// The parts of a product [m, k] @ [k, n] for a team of so many threads, in the order in which their columns lie in memory.
class ProductChunks {
 public:
  // `panel`: columns that are computed together. `packs_rows`: each part packs its rows of a first.
  ProductChunks(int64_t m, int64_t n, int64_t k, int64_t panel, bool packs_rows, int team)
      : m_(m), n_(n), panels_((n + panel - 1) / panel), panel_(panel) {
    if (team == 1 || m == 0 || n == 0) return;
    const double work = 2.0 * static_cast<double>(m) * static_cast<double>(n) * static_cast<double>(std::max<int64_t>(k, 1));
    const int64_t wanted = static_cast<int64_t>(std::clamp(work / kWork, double(team), double{kMost} * team));
    // Rows that are packed are packed once for each part in the direction of columns.
    if (packs_rows) {
      row_parts_ = parts_of(m, kRowsToPack, wanted, team);
      column_parts_ = parts_of(panels_, kColumnsToPack / panel, wanted / row_parts_, team / row_parts_);
    } else {
      column_parts_ = evenly(parts_of(panels_, 1, wanted, team), panels_, team);
      row_parts_ = parts_of(m, kRows, wanted / column_parts_, team / column_parts_);
    }
  }

  int64_t count() const { return row_parts_ * column_parts_; }
  ProductChunk operator[](int64_t i) const {
    const int64_t row = i % row_parts_, column = i / row_parts_;
    return {m_ * row / row_parts_, m_ * (row + 1) / row_parts_, std::min(n_, panels_ * column / column_parts_ * panel_),
            std::min(n_, panels_ * (column + 1) / column_parts_ * panel_)};
  }

 private:
  static constexpr double kWork = 4e5;  // operations of a part: some microseconds
  static constexpr int64_t kMost = 16;  // parts for each thread
  static constexpr int64_t kRows = 24, kRowsToPack = 240, kColumnsToPack = 256;  // of a part, at least

  // As many as are wanted, of at least `least`; smaller ones only to have so many as are needed.
  static int64_t parts_of(int64_t size, int64_t least, int64_t wanted, int64_t needed) {
    const int64_t most = std::max(size / std::max<int64_t>(least, 1), std::min(size / 4, needed));
    return std::max<int64_t>(std::min(wanted, most), 1);
  }

  // Up to twice as many parts, if each member then has as many of equal size.
  static int64_t evenly(int64_t parts, int64_t size, int64_t team) {
    for (int64_t more = (parts + team - 1) / team * team; more <= std::min(size, 2 * parts); more += team)
      if (size % more == 0) return more;
    return parts;
  }

  int64_t m_, n_, panels_, panel_;
  int64_t row_parts_ = 1, column_parts_ = 1;
};

}  // namespace calque::kernels
