// Minimum cut of a small network (Dinic 1970).
#pragma once

#include <cstdint>
#include <vector>

namespace calque::passes {

class FlowNetwork {
 public:
  static constexpr int64_t kInfinite = int64_t{1} << 60;

  explicit FlowNetwork(int vertices) : first_arc_(vertices, -1) {}
  void add_arc(int from, int to, int64_t capacity);
  /// Of all minimum cuts the one nearest to `sink`: which vertices lie on the sink's side.
  std::vector<bool> sink_side(int source, int sink);

 private:
  struct Arc {
    int to, next;      // `next` arc of the same vertex, -1 at the end; arc i ^ 1 is the way back
    int64_t capacity;  // what is left of it
  };
  bool find_levels(int source, int sink);
  void augment(int source, int sink);

  std::vector<Arc> arcs_;
  std::vector<int> first_arc_, next_arc_, level_;
};

}  // namespace calque::passes
