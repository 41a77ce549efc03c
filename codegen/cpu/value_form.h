// How the values of a fusion's body lie on its domain: which of them have rows, which have columns.
#pragma once

#include <cstdint>

#include "ir/graph/graph.h"

namespace calque::codegen {

/// A value of a body seen as `rows` x `width` elements: its last axis is the columns, all axes before it the
/// rows. In a flat domain there is one row that holds all elements.
struct Form {
  int64_t rows = 1;
  int64_t width = 1;
  bool operator==(const Form&) const = default;
};

inline Form form_of(const Shape& shape, Domain domain) {
  if (domain == Domain::flat) return {1, shape.element_count()};
  Form form;
  for (int axis = 0; axis + 1 < shape.rank(); ++axis) form.rows *= shape[axis];
  if (shape.rank() > 0) form.width = shape.back();
  return form;
}

/// What a kernel computes: the attributes of a fusion and its body, which keeps the rules of `check_fusion`
/// (ir/graph/verifier.h).
struct KernelDomain {
  const Graph* body = nullptr;
  Domain domain = Domain::flat;
  int64_t rows = 1;
  int64_t columns = 1;
};

}  // namespace calque::codegen
