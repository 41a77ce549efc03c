// How the values of a fusion's body lie on its domain: which of them have rows, which have columns.
#pragma once

#include <cstdint>
#include <vector>

#include "ir/graph/graph.h"

namespace calque::codegen {

/// A value of a body seen as `rows` x `width` elements: its last axis is the columns, all axes before it the rows. In a
/// flat domain there is one row that holds all elements.
struct Form {
  int64_t rows = 1;
  int64_t width = 1;
  bool operator==(const Form&) const = default;
};

/// What a kernel computes: the attributes of a fusion and its body.
struct KernelDomain {
  const Graph* body = nullptr;
  Domain domain = Domain::flat;
  int64_t rows = 1;
  int64_t columns = 1;
};

/// The most nodes of one body; emission recurses over them.
inline constexpr size_t kMaxBodyNodes = 4096;
/// The most rows that a columns domain sums in one pass: one block of the reduction tree.
inline constexpr int64_t kMaxSummedRows = 64;

/// The form of every value of the body. Throws UserError, naming the op, for a body that this generator does not
/// compile: an op that is no map of the domain, an axis that is neither its rows nor its columns.
std::vector<Form> forms_of(const KernelDomain& kernel);

}  // namespace calque::codegen
