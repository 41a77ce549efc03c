// The tree of recorded ops.
#include "compiler/trace.h"

#include <algorithm>

#include "compiler/segment.h"

namespace calque {

bool SlotRecord::fits(const TensorImpl& tensor, uint32_t actual_origin) const {
  return tensor.dtype == dtype && tensor.shape == shape && tensor.requires_grad == requires_grad &&
         (tensor.producer.get() == nullptr) == is_leaf && actual_origin == origin &&
         std::equal(strides.begin(), strides.begin() + shape.rank(), tensor.strides.begin());
}

TraceId TraceTree::root(uint64_t modes) {
  for (const auto& [known, id] : roots_)
    if (known == modes) return id;
  if (roots_.size() == kMostRoots) return 0;
  const TraceId id = roots_.empty() ? 0 : static_cast<TraceId>(nodes_.size());
  if (id != 0) nodes_.emplace_back();
  roots_.emplace_back(modes, id);
  return id;
}

TraceId TraceTree::add(TraceId parent, TraceNode node) {
  const TraceId id = static_cast<TraceId>(nodes_.size());
  node.parent = parent;
  TraceId* link = &nodes_[parent].first_child;
  if (*link != kNoTrace) ++branches_;
  while (*link != kNoTrace) link = &nodes_[*link].next_sibling;
  *link = id;
  nodes_.push_back(std::move(node));
  return id;
}

std::vector<TraceId> TraceTree::path(TraceId begin, TraceId end) const {
  std::vector<TraceId> ids;
  for (TraceId id = end; id != begin; id = nodes_[id].parent) ids.push_back(id);
  std::reverse(ids.begin(), ids.end());
  return ids;
}

}  // namespace calque
