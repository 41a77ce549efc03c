// Rebuilding a graph node by node: what every pass that is not a plain copy starts from.
#pragma once

#include <span>
#include <vector>

#include "ir/graph/graph.h"

namespace calque::passes {

/// Carries values of one graph over to another that is being built. Nodes keep their source lines.
class Rewriter {
 public:
  /// Starts a graph with the name and the inputs of `source`.
  explicit Rewriter(const Graph& source) : Rewriter(source, source.inputs().size()) {}
  /// Only the first inputs: the others stand for something else, or nothing reads them.
  Rewriter(const Graph& source, size_t inputs);

  const Graph& source() const { return source_; }
  Graph& graph() { return graph_; }
  /// The new value that stands for an old one.
  ValueId operator()(ValueId old) const { return map_[old]; }
  std::vector<ValueId> operator()(std::span<const ValueId> old) const;
  void set(ValueId old, ValueId replacement) { map_[old] = replacement; }
  /// Copies a node of the source with its operands carried over, and maps its results.
  void copy(const Node& node);
  /// Adds a node of one result and gives that.
  ValueId add(Op op, std::span<const ValueId> inputs, const Attributes& attributes, const void* location) {
    return graph_.add(op, inputs, attributes, location).result();
  }
  /// The outputs of the source, carried over; call once, last.
  Graph finish();

 private:
  const Graph& source_;
  Graph graph_;
  std::vector<ValueId> map_;
};

/// Appends a copy of `node`, which may have a block, with other operands.
const Node& append_copy(Graph& graph, const Node& node, std::span<const ValueId> inputs);

}  // namespace calque::passes
