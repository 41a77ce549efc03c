// A fusion by itself as IR text: what the code generator is given, and what generated kernels are known by.
#pragma once

#include <string>
#include <vector>

#include "ir/graph/graph.h"

namespace calque {

/// A number that the code of a kernel takes as an operand of one element, behind those of the fusion.
struct KernelConstant {
  DType dtype;
  double value;
  /// As it lies in memory.
  uint64_t bits() const;
};

/// Whether the code of a fusion of rows is for the number of its columns, which makes it simpler, or for any number.
enum class RowLength : uint8_t { own, any };

struct KernelText {
  std::string text;
  std::vector<KernelConstant> constants;
  RowLength length = RowLength::own;
};

/// A graph of this fusion alone. Sizes that its code takes at run time (elements of a flat domain, rows of a domain of rows,
/// both sizes of a domain of columns; see calque/kernel_abi.h) are replaced by fixed ones, and numbers beside + - * /
/// that look like such a size (the count of a mean, 1 / B) by operands, so that fusions which differ in nothing else have
/// one text. A size of 0 or 1 stays: its code is another. Rows of any number of columns are so many values, or single ones, and no
/// parts of others; the text of other fusions has their own columns in either case.
KernelText kernel_text(const Node& fusion, RowLength length = RowLength::own);

/// All fusions of a lowered graph, in order; those of a loop's block where the loop stands.
std::vector<const Node*> fusions_of(const Graph& lowered);

}  // namespace calque
