// The rules of the IR. What a graph promises, every pass may rely on and must keep.
#pragma once

#include "ir/graph/graph.h"

namespace calque {

/// Throws InternalError `graph @name, %node: <rule>` at the first rule that does not hold:
///   - the names of the graph and of its inputs are identifiers, those of the inputs unique;
///   - operands and outputs exist; operands are defined before they are used; results are numbered consecutively;
///   - attributes are as many as the row specifies and as its shape rule leaves them (no negative axis);
///   - result types are those that the shape rule gives;
///   - only a fusion has a block, and it keeps the rules of `check_fusion`.
void verify(const Graph& graph);

/// The rules of fusions, the contract between the fuse pass and the code generators. `node` is a fusion of `graph`
/// whose block already keeps the rules above. Throws InternalError.
///   - operands and results have the types of the block's inputs and outputs, of which there is at least one;
///   - the block holds elementwise ops, full, arange, expand and reshape that add or drop leading axes of size 1 (expand
///     also repeats any axis), and, by domain:
///       rows: slice, split and concat of the last axis, reductions with keepdim over the last axis of at most
///       reduction::kBlock elements;
///       columns: reductions over the first axis of at most reduction::kOuterBlock rows, with more than one column
///       (else the axis would be innermost, which is another tree);
///   - every value fits the domain (graph.h): as a matrix of its last axis by all before it, `flat` has one row and
///     `columns` elements or one; `rows` has `rows` rows or one, of any length; `columns` has one element or, its first
///     axis by all behind it, `rows` rows or one, and `columns` columns or one.
void check_fusion(const Graph& graph, const Node& node);

}  // namespace calque
