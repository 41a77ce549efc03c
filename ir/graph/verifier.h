// The rules of the IR. What a graph promises, every pass may rely on and must keep.
#pragma once

#include <string_view>

#include "ir/graph/graph.h"

namespace calque {

/// Throws InternalError `graph @name, %node: <rule>` at the first rule that does not hold:
///   - the names of the graph and of its inputs are identifiers, those of the inputs unique;
///   - operands and outputs exist; operands are defined before they are used; every value is an input or
///     the result of one node;
///   - attributes are as many as the row specifies and as its shape rule leaves them (no negative axis);
///   - result types are those that the shape rule gives;
///   - only a fusion or a loop has a block, and it keeps the rules of `check_fusion` or `check_loop`.
void verify(const Graph& graph);

/// Letters, digits and underscores, not beginning with a digit.
bool is_identifier(std::string_view text);

/// The rules of loops; see LoopForm. Throws InternalError.
///   - sizes are not negative, and there are as many operands and results as they ask for;
///   - operands and inputs of the block correspond: the same types, of a sequence one step of `length`;
///   - a carried value keeps its type.
void check_loop(const Graph& graph, const Node& node);

/// The rules of fusions, the contract between the fuse pass and the code generators (check_fusion.cpp).
/// `node` is a fusion of `graph` whose block keeps the rules above. Throws InternalError. A value of the
/// block is seen as a matrix: its last axis by all axes before it; in a flat domain as one row.
///   - operands and results have the types of the block's inputs and outputs, of which there is at least one;
///   - flat: one row; every value has `columns` elements or one, results have all;
///     rows: every value has `rows` rows or one;
///     columns: so too, at most reduction::kOuterBlock rows and not just one column (then the rows are an
///     innermost axis, which is another tree); results are one row of all columns;
///   - the block holds elementwise ops, full, arange; reshape and permute that keep rows and order; expand
///   that
///     repeats whole rows or single columns; slice and split of the last axis; in rows also pad and concat of
///     it;
///   - reductions: in rows over the last axis, kept as size 1, of at most reduction::kBlock elements; in
///   columns over the
///     rows.
void check_fusion(const Graph& graph, const Node& node);

}  // namespace calque
