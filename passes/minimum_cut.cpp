// Minimum cut: blocking flows along shortest paths until none is left.
#include "passes/minimum_cut.h"

#include <algorithm>

namespace calque::passes {

void FlowNetwork::add_arc(int from, int to, int64_t capacity) {
  arcs_.push_back({to, first_arc_[from], capacity});
  first_arc_[from] = static_cast<int>(arcs_.size()) - 1;
  arcs_.push_back({from, first_arc_[to], 0});
  first_arc_[to] = static_cast<int>(arcs_.size()) - 1;
}

bool FlowNetwork::find_levels(int source, int sink) {
  level_.assign(first_arc_.size(), -1);
  level_[source] = 0;
  std::vector<int> queue{source};
  for (size_t head = 0; head < queue.size(); ++head)
    for (int arc = first_arc_[queue[head]]; arc >= 0; arc = arcs_[arc].next)
      if (arcs_[arc].capacity > 0 && level_[arcs_[arc].to] < 0) {
        level_[arcs_[arc].to] = level_[queue[head]] + 1;
        queue.push_back(arcs_[arc].to);
      }
  return level_[sink] >= 0;
}

/// Sends a blocking flow along the levels, one path at a time. Paths are kept on a list, not on the call
/// stack: a traced loop makes them long.
void FlowNetwork::augment(int source, int sink) {
  std::vector<int> path;  // arcs
  int vertex = source;
  while (true) {
    if (vertex == sink) {
      int64_t flow = kInfinite;
      for (int arc : path) flow = std::min(flow, arcs_[arc].capacity);
      for (int arc : path) {
        arcs_[arc].capacity -= flow;
        arcs_[arc ^ 1].capacity += flow;
      }
      path.clear();
      vertex = source;
      continue;
    }
    int& arc = next_arc_[vertex];
    while (arc >= 0 && (arcs_[arc].capacity == 0 || level_[arcs_[arc].to] != level_[vertex] + 1))
      arc = arcs_[arc].next;
    if (arc >= 0) {
      path.push_back(arc);
      vertex = arcs_[arc].to;
    } else if (path.empty()) {
      return;
    } else {  // a dead end: never entered again at this level
      level_[vertex] = -1;
      vertex = arcs_[path.back() ^ 1].to;
      path.pop_back();
    }
  }
}

std::vector<bool> FlowNetwork::sink_side(int source, int sink) {
  while (find_levels(source, sink)) {
    next_arc_ = first_arc_;
    augment(source, sink);
  }
  std::vector<bool> reaches_sink(first_arc_.size());
  reaches_sink[sink] = true;
  std::vector<int> queue{sink};
  for (size_t head = 0; head < queue.size(); ++head)
    for (int arc = first_arc_[queue[head]]; arc >= 0; arc = arcs_[arc].next)
      if (const int from = arcs_[arc].to; !reaches_sink[from] && arcs_[arc ^ 1].capacity > 0) {
        reaches_sink[from] = true;
        queue.push_back(from);
      }
  return reaches_sink;
}

}  // namespace calque::passes
