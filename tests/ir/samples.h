// Sample graphs of every op, for the tests that go over the whole table.
#pragma once

#include <string>
#include <vector>

#include "ir/graph/graph.h"

namespace calque::test {

/// At least one graph that uses the op; none if the row has no sample yet, which fails the test.
std::vector<Graph> sample_graphs(Op op);

/// A larger graph with every feature of the language: several results, a fusion, constants of all kinds.
extern const char* const kCellText;

}  // namespace calque::test
