// Ops that read row numbers.
#include <fmt/format.h>

#include "ir/graph/interpret/evaluation.h"
#include "ir/graph/interpret/scalar.h"

namespace calque {

/// Element i of the indices, which must name one of `rows` rows.
static int64_t row_at(const Literal& indices, int64_t i, int64_t rows, const char* op) {
  const int64_t row = integer_at(indices, i);
  if (row < 0 || row >= rows)
    throw UserError(fmt::format("{}: index {} at position {} is out of range for {} rows", op, row, i, rows));
  return row;
}

void interpret_take(const Evaluation& evaluation) {
  const Literal &table = evaluation.input(0), &indices = evaluation.input(1);
  Literal& result = evaluation.result();
  const int64_t rows = table.type.shape[0];
  for (int64_t i = 0; i < indices.size(); ++i) {
    const int64_t row = row_at(indices, i, rows, "take");
    const int64_t width = table.size() / rows;
    for (int64_t k = 0; k < width; ++k) copy_element(result, i * width + k, table, row * width + k);
  }
}

void interpret_index_add(const Evaluation& evaluation) {
  const Literal &values = evaluation.input(0), &indices = evaluation.input(1);
  Literal& result = evaluation.result();
  with_element_type(result.type.dtype, [&]<class T>(T) {
    if constexpr (!std::is_same_v<T, bool>) {
      for (int64_t i = 0; i < indices.size(); ++i) {
        const int64_t row = row_at(indices, i, evaluation.attributes[0], "index_add");
        const int64_t width = values.size() / indices.size();
        for (int64_t k = 0; k < width; ++k) {
          T& element = result.as<T>()[row * width + k];
          element = wrapping_add(element, values.as<T>()[i * width + k]);
        }
      }
    }
  });
}

/// Where element i of the indices points: its own place, but for the axis.
static Place pointed_place(const Evaluation& evaluation, int64_t i, int64_t size) {
  const Literal& indices = evaluation.input(1);
  Place place = place_of(i, indices.type.shape);
  place[evaluation.attributes[0]] = row_at(indices, i, size, row(evaluation.op).name);
  return place;
}

void interpret_gather(const Evaluation& evaluation) {
  const Literal& x = evaluation.input(0);
  const int64_t size = x.type.shape[static_cast<int>(evaluation.attributes[0])];
  for (int64_t i = 0; i < evaluation.input(1).size(); ++i)
    copy_element(evaluation.result(), i, x, index_of(pointed_place(evaluation, i, size), x.type.shape));
}

void interpret_scatter_add(const Evaluation& evaluation) {
  Literal& result = evaluation.result();
  with_element_type(result.type.dtype, [&]<class T>(T) {
    if constexpr (!std::is_same_v<T, bool>) {
      for (int64_t i = 0; i < evaluation.input(1).size(); ++i) {
        const Place place = pointed_place(evaluation, i, evaluation.attributes[1]);
        T& element = result.as<T>()[index_of(place, result.type.shape)];
        element = wrapping_add(element, evaluation.input(0).as<T>()[i]);
      }
    }
  });
}

}  // namespace calque
