// Bookkeeping of loops and their copies.
#include "passes/loops/saving_loops.h"

#include "passes/rewriter.h"

namespace calque::passes {

void SavingLoops::add(NodeId loop, NodeId copy) {
  copies_[loop].push_back(copy);
  loop_of_[copy] = loop;
}

std::vector<NodeId> SavingLoops::versions(NodeId loop) const {
  std::vector<NodeId> all{loop};
  if (const auto found = copies_.find(loop); found != copies_.end()) all.insert(all.end(), found->second.begin(), found->second.end());
  return all;
}

Graph SavingLoops::install(const Graph& graph) const {
  if (copies_.empty()) return graph;
  Rewriter rewrite(graph);
  for (NodeId id = 0; id < graph.nodes().size(); ++id) {
    if (is_copy(id)) continue;
    const auto found = copies_.find(id);
    const Node& last = graph.node(found == copies_.end() ? id : found->second.back());
    rewrite.copy(last);
    if (found == copies_.end()) continue;
    for (NodeId version : versions(id))
      for (uint32_t i = 0; i < graph.node(version).result_count; ++i)
        rewrite.set(graph.node(version).result(i), rewrite(last.result(i)));
  }
  return rewrite.finish();
}

}  // namespace calque::passes
