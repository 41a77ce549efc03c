// What may stand in a fusion: which rows an op walks, and what a group of ops has in common.
#pragma once

#include <algorithm>
#include <cstdint>

#include "ir/graph/graph.h"

namespace calque::passes {

/// How a node takes part in fusing.
enum class FusionRole : uint8_t {
  none,      // stays a node of the graph
  compute,   // elementwise, a reduction over the last axis, a concat or pad of rows
  view,      // an index map inside a row; free outside of fusions as well
  constant,  // a scalar or a range: copied into every fusion that reads it
};

/// The largest row that is not split among threads and stays in cache: bound of reductions, and of rows that
/// are alone.
inline constexpr int64_t kLongestRow = 4096;

/// A shape as a matrix of its last axis by all before it.
inline int64_t row_length(const Shape& shape) { return shape.rank() == 0 ? 1 : shape.back(); }
inline int64_t rows_of(const Shape& shape) {
  return shape.rank() < 2 ? 1 : Shape(shape.dims().first(shape.rank() - 1)).element_count();
}

/// What a group of nodes walks. Groups of equal `rows` may be merged within the bounds of `joined`.
struct Footprint {
  int64_t rows = 1;
  int64_t longest_row = 1;
  int64_t flat_elements =
      1;  // of every value that has more than one; 0 where they differ or an op needs its row whole
};

FusionRole fusion_role(const Graph& graph, const Node& node);
/// Of a node whose role is compute or view.
Footprint footprint(const Graph& graph, const Node& node);

/// The footprint of two groups in one; `rows` is 0 where they must stay apart.
Footprint joined(const Footprint& a, const Footprint& b);

/// Whether a reduction may be computed by a fusion over columns.
bool reduces_columns(const Graph& graph, const Node& node);

}  // namespace calque::passes
