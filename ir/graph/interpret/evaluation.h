// What an op's meaning is given: operands, attributes, and results of the right type, all zero, to fill.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "ir/graph/graph.h"
#include "ir/graph/literal.h"

namespace calque {

struct Evaluation {
  Op op;
  const Attributes& attributes;
  std::span<const Literal* const> inputs;
  std::span<Literal> results;
  const Graph* body = nullptr;  // of a fusion or a loop

  const Literal& input(size_t i = 0) const { return *inputs[i]; }
  Literal& result(size_t i = 0) const { return results[i]; }
};

/// Place of an element: one number for each axis.
using Place = std::array<int64_t, kMaxRank>;

/// The place of element `index` in row-major order.
Place place_of(int64_t index, const Shape& shape);
/// The row-major index of a place.
int64_t index_of(const Place& place, const Shape& shape);
/// The index in `from` of the element that broadcasting repeats at `place` of `to` (NumPy: axes align at the
/// last one).
int64_t broadcast_index(const Place& place, const Shape& to, const Shape& from);

/// Copies one element, of whatever dtype, from a literal of the same dtype.
void copy_element(Literal& to, int64_t to_index, const Literal& from, int64_t from_index);

/// Element `i` of a literal of i64 or i32.
int64_t integer_at(const Literal& literal, int64_t i);

/// The meaning of every elementwise op: its scalar program, element by element.
void interpret_elementwise(const Evaluation& evaluation);

}  // namespace calque
