// Ops that put tensors together from pieces.
#include "ir/graph/interpret/evaluation.h"

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

void interpret_flip(const Evaluation& evaluation) {
  const Shape& shape = evaluation.input().type.shape;
  for (int64_t i = 0; i < evaluation.input().size(); ++i) {
    Place place = place_of(i, shape);
    for (int64_t axis : evaluation.attributes.list(0)) place[axis] = shape[static_cast<int>(axis)] - 1 - place[axis];
    copy_element(evaluation.result(), index_of(place, shape), evaluation.input(), i);
  }
}

}  // namespace calque
