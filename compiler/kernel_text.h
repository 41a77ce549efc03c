// A fusion by itself as IR text: what the code generator is given, and what generated kernels are known by.
#pragma once

#include <string>
#include <vector>

#include "ir/graph/graph.h"

namespace calque {

/// A graph of this fusion alone. Sizes that its code takes at run time (elements of a flat domain, rows of a domain of rows,
/// both sizes of a domain of columns; see calque/kernel_abi.h) are replaced by fixed ones, so that fusions which differ in
/// nothing else have one text. A size of 0 or 1 stays: its code is another.
std::string kernel_text(const Node& fusion);

/// The texts of all fusions of a lowered graph, in order.
std::vector<std::string> kernel_texts(const Graph& lowered);

}  // namespace calque
