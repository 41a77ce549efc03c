// Ops that put tensors together from pieces or rows.
#include <fmt/format.h>

#include "ir/graph/interpret/evaluation.h"
#include "ir/graph/interpret/scalar.h"

namespace calque {

/// Copies x into the result, `start` steps along one axis behind where it would lie.
static void put_into(Literal& result, const Literal& x, int64_t axis, int64_t start) {
  for (int64_t i = 0; i < x.size(); ++i) {
    Place place = place_of(i, x.type.shape);
    place[axis] += start;
    copy_element(result, index_of(place, result.type.shape), x, i);
  }
}

void interpret_pad(const Evaluation& evaluation) {
  put_into(evaluation.result(), evaluation.input(), evaluation.attributes[0], evaluation.attributes[1]);
}

void interpret_concat(const Evaluation& evaluation) {
  const int axis = static_cast<int>(evaluation.attributes[0]);
  int64_t start = 0;
  for (const Literal* input : evaluation.inputs) {
    put_into(evaluation.result(), *input, axis, start);
    start += input->type.shape[axis];
  }
}

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

}  // namespace calque
