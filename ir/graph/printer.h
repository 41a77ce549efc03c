// Graphs as text. The parser reads everything that is printed here.
#pragma once

#include <functional>
#include <string>

#include "ir/graph/graph.h"

namespace calque {

struct GraphPrintOptions {
  /// Turns a node's location into text such as `lstm.cpp:14`, printed as a comment behind the node. An empty
  /// text, and a node without a location, print nothing.
  std::function<std::string(const void*)> location = {};
  std::string name = {};  // instead of the graph's own
};

/// The graph as IR text, ending in a newline. Numbers print so that they parse back to the same bits.
std::string print(const Graph& graph, const GraphPrintOptions& options = {});

/// How the text names a value: `%x` for an input, `%3` for the only result of node 3, `%3.1` for one of
/// several.
std::string value_name(const Graph& graph, ValueId value);

/// One attribute list as text: `{axis = 1, start = 0, stop = 4}`; empty for an op without attributes.
std::string print_attributes(Op op, const Attributes& attributes);

/// A number that parses back to the same bits: `0.5`, `-0`, `inf`, `nan`, `nan(0x7ff8000000000001)`.
std::string print_number(double value);

}  // namespace calque
