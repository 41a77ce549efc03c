// Runs a compiled segment.
#include "compiler/region_run.h"

#include <algorithm>

#include "compiler/region.h"
#include "runtime/views.h"

namespace calque {

namespace {

/// A held value from its root: itself, or the views of it made anew.
Tensor follow(const HeldValue& held, const Tensor& root) {
  Tensor tensor = root;
  for (const ViewStep& view : held.views) {
    TensorImpl* impl = TensorImpl::create();
    impl->dtype = view.type.dtype;
    impl->shape = view.type.shape;
    Tensor made = Tensor::adopt(impl);
    make_view(view.op, view.attributes, *tensor.impl(), view.index, *impl);
    tensor = made;
  }
  return tensor;
}

}  // namespace

RegionRun::RegionRun(const std::shared_ptr<const CompiledSegment>& segment, std::span<const Tensor> slots)
    : segment_(*segment), slots_(slots), outputs_(segment->forward->run(slots)) {
  const std::vector<HeldValue>& held = segment->traced.held;
  // Also where no gradient flows on (a floor): what has a history is no leaf.
  if (std::any_of(held.begin(), held.end(), [](const HeldValue& value) { return value.requires_grad; }))
    node_ = make_region_node(segment, slots, std::span<const Tensor>(outputs_.data(), outputs_.size()).subspan(segment->traced.roots.size()));
}

Tensor RegionRun::held(size_t index) {
  for (const auto& [known, tensor] : views_)
    if (known == index) return tensor;
  const HeldValue& value = segment_.traced.held[index];
  Tensor tensor = follow(value, value.root_is_slot ? slots_[value.root] : outputs_[value.root]);
  if (value.requires_grad && !tensor.impl()->producer)
    set_producer(*tensor.impl(), node_, static_cast<int>(index));
  if (!value.views.empty()) views_.emplace_back(index, tensor);
  return tensor;
}

}  // namespace calque
