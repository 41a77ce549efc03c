// Elementwise ops: the scalar program of the row for each element, operands broadcast by NumPy's rule.
#include <cstring>

#include "ir/graph/interpret/evaluation.h"
#include "ir/graph/interpret/scalar.h"

namespace calque {

Place place_of(int64_t index, const Shape& shape) {
  Place place{};
  for (int axis = shape.rank() - 1; axis >= 0; --axis) {
    place[axis] = index % shape[axis];
    index /= shape[axis];
  }
  return place;
}

int64_t index_of(const Place& place, const Shape& shape) {
  int64_t index = 0;
  for (int axis = 0; axis < shape.rank(); ++axis) index = index * shape[axis] + place[axis];
  return index;
}

int64_t broadcast_index(const Place& place, const Shape& to, const Shape& from) {
  const int shift = to.rank() - from.rank();
  int64_t index = 0;
  for (int axis = 0; axis < from.rank(); ++axis)
    index = index * from[axis] + (from[axis] == 1 ? 0 : place[axis + shift]);
  return index;
}

void copy_element(Literal& to, int64_t to_index, const Literal& from, int64_t from_index) {
  const size_t size = size_of(to.type.dtype);
  std::memcpy(to.bytes.data() + to_index * size, from.bytes.data() + from_index * size, size);
}

int64_t integer_at(const Literal& literal, int64_t i) {
  return literal.type.dtype == DType::i64 ? literal.as<int64_t>()[i] : literal.as<int32_t>()[i];
}

void interpret_elementwise(const Evaluation& evaluation) {
  Literal& result = evaluation.result();
  const ScalarProgram& program =
      scalar_program(evaluation.op, evaluation.inputs.back()->type.dtype, result.type.dtype);
  std::vector<ScalarBits> arguments(evaluation.inputs.size());
  for (int64_t i = 0; i < result.size(); ++i) {
    const Place place = place_of(i, result.type.shape);
    for (size_t k = 0; k < arguments.size(); ++k) {
      const Literal& input = evaluation.input(k);
      const size_t size = size_of(input.type.dtype);
      arguments[k] = 0;
      std::memcpy(&arguments[k],
                  input.bytes.data() + broadcast_index(place, result.type.shape, input.type.shape) * size,
                  size);
    }
    const ScalarBits bits = run_program(program, arguments);
    std::memcpy(result.bytes.data() + i * size_of(result.type.dtype), &bits, size_of(result.type.dtype));
  }
}

void interpret_cast(const Evaluation& evaluation) { interpret_elementwise(evaluation); }

}  // namespace calque
