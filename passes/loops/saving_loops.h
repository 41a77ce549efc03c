// Loops that stack more of their values than the program asks for, because gradients read them.
#pragma once

#include <map>
#include <vector>

#include "ir/graph/graph.h"

namespace calque::passes {

/// A loop that is differentiated gets a copy behind it, which gives what the loop gives and what its gradient reads; one that is
/// differentiated again a further copy, which gives still more. In the end the last one takes the place of all.
class SavingLoops {
 public:
  void add(NodeId loop, NodeId copy);
  bool is_copy(NodeId node) const { return loop_of_.contains(node); }
  /// The loop, then its copies.
  std::vector<NodeId> versions(NodeId loop) const;
  /// The graph in which each loop is its last copy.
  Graph install(const Graph& graph) const;

 private:
  std::map<NodeId, std::vector<NodeId>> copies_;  // by loop
  std::map<NodeId, NodeId> loop_of_;              // by copy
};

}  // namespace calque::passes
