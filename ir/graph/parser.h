// IR text to graphs, and whether two graphs say the same.
#pragma once

#include <string_view>

#include "ir/graph/graph.h"

namespace calque {

/// How many blocks may lie inside one another.
inline constexpr int kMostNesting = 4;

/// Reads one graph as `print` writes it; `// comments` run to the end of their line. The text may come from
/// anywhere: it never crashes the parser. Result types are recomputed by the shape rules and must equal those
/// written. Throws UserError `line:column: <one sentence>`. Rules beyond the grammar are the verifier's.
Graph parse(std::string_view text);

/// Whether two graphs have the same name, inputs (names and types), nodes and outputs. Locations do not
/// count, nor do the names of fusion bodies, which have no place in the text.
bool equal(const Graph& a, const Graph& b);

}  // namespace calque
