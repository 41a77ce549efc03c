// Follows the columns that a kernel's results are made of back to its operands.
#include "compiler/epilogue.h"

#include <algorithm>
#include <set>

namespace calque {

namespace {

int64_t width_of(const Type& type) { return type.shape.rank() == 0 ? 1 : type.shape.back(); }

/// For each value of a body the distances d such that column j of some result is made of its column j + d.
std::vector<std::set<int64_t>> column_distances(const Graph& body) {
  std::vector<std::set<int64_t>> distances(body.value_count());
  for (ValueId output : body.outputs()) distances[output].insert(0);
  for (size_t id = body.nodes().size(); id-- > 0;) {
    const Node& node = body.node(static_cast<NodeId>(id));
    for (uint32_t i = 0; i < node.result_count; ++i) {
      const int64_t width = width_of(body.type(node.result(i)));
      for (int64_t distance : distances[node.result(i)])
        for (ValueId input : node.inputs) {
          const bool cuts_columns = width_of(body.type(input)) > width;
          const int64_t first = !cuts_columns          ? 0
                                : node.op == Op::split ? i * width
                                                       : node.attributes[1];  // a slice
          distances[input].insert(distance + first);
        }
    }
  }
  return distances;
}

int64_t row_stride(const Place& place) {
  return place.type.shape.rank() < 2 ? 0 : place.strides[place.type.shape.rank() - 2];
}

/// Whether column j of a result is made of columns j + k * part_columns, once those of the operand are counted from `first`.
bool are_whole_parts(const std::set<int64_t>& distances, int64_t first, int64_t part_columns) {
  return std::ranges::all_of(distances, [&](int64_t distance) { return (first + distance) % part_columns == 0; });
}

}  // namespace

std::vector<bool> inputs_read_by_parts(const PlanStep& kernel) {
  const Graph& body = *kernel.node->body;
  const std::vector<std::set<int64_t>> distances = column_distances(body);
  std::vector<bool> by_parts;
  for (size_t i = 0; i < kernel.inputs.size(); ++i)
    by_parts.push_back(width_of(kernel.inputs[i].type) >= kernel.part_columns &&
                       are_whole_parts(distances[body.inputs()[i]], 0, kernel.part_columns));
  return by_parts;
}

bool reads_by_parts(const PlanStep& kernel, const Graph& body, const Place& product, int64_t part_columns) {
  const int64_t rows = product.type.shape[0], columns = product.type.shape[1];
  if (part_columns == 0 || kernel.rows != rows || columns % part_columns != 0) return false;
  const std::vector<std::set<int64_t>> distances = column_distances(body);
  for (size_t i = 0; i < kernel.inputs.size(); ++i) {
    const Place& place = kernel.inputs[i];
    if (place.buffer != product.buffer) continue;
    const bool same_rows = place.type.shape.element_count() == rows * width_of(place.type) &&
                           (rows == 1 || row_stride(place) == product.strides[0]) &&
                           place.type.shape.rank() == 2;
    const int64_t first = place.offset - product.offset;
    if (!same_rows || width_of(place.type) < part_columns || first < 0 ||
        first + width_of(place.type) > columns || !are_whole_parts(distances[body.inputs()[i]], first, part_columns))
      return false;
  }
  return true;
}

}  // namespace calque
