// Index maps: every element of a result is one element of the operand.
#include "ir/graph/interpret/evaluation.h"

namespace calque {

/// Fills a result: element at `place` is the operand's at source(place).
template <class Source>
static void gather(Literal& result, const Literal& x, Source source) {
  for (int64_t i = 0; i < result.size(); ++i)
    copy_element(result, i, x, source(place_of(i, result.type.shape)));
}

void interpret_reshape(const Evaluation& evaluation) { evaluation.result().bytes = evaluation.input().bytes; }

void interpret_detach(const Evaluation& evaluation) { evaluation.result().bytes = evaluation.input().bytes; }

void interpret_permute(const Evaluation& evaluation) {
  const Shape& shape = evaluation.input().type.shape;
  gather(evaluation.result(), evaluation.input(), [&](const Place& place) {
    Place source{};
    for (int axis = 0; axis < shape.rank(); ++axis) source[evaluation.attributes[axis]] = place[axis];
    return index_of(source, shape);
  });
}

void interpret_expand(const Evaluation& evaluation) {
  gather(evaluation.result(), evaluation.input(), [&](const Place& place) {
    return broadcast_index(place, evaluation.result().type.shape, evaluation.input().type.shape);
  });
}

/// The elements from `start` on along one axis.
static void take_from(Literal& result, const Literal& x, int64_t axis, int64_t start) {
  gather(result, x, [&](Place place) {
    place[axis] += start;
    return index_of(place, x.type.shape);
  });
}

void interpret_slice(const Evaluation& evaluation) {
  take_from(evaluation.result(), evaluation.input(), evaluation.attributes[0], evaluation.attributes[1]);
}

void interpret_every(const Evaluation& evaluation) {
  const Attributes& attributes = evaluation.attributes;
  gather(evaluation.result(), evaluation.input(), [&](Place place) {
    place[attributes[0]] *= attributes[1];
    return index_of(place, evaluation.input().type.shape);
  });
}

void interpret_split(const Evaluation& evaluation) {
  const int64_t axis = evaluation.attributes[1];
  int64_t start = 0;
  for (Literal& result : evaluation.results) {
    take_from(result, evaluation.input(), axis, start);
    start += result.type.shape[static_cast<int>(axis)];
  }
}

}  // namespace calque
