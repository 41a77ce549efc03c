// Runs a compiled segment.
#include "compiler/region_run.h"

#include <algorithm>

#include "compiler/region.h"
#include "runtime/view_origin.h"
#include "runtime/views.h"

namespace calque {

namespace {

Tensor apply(const ViewStep& step, const Tensor& parent, bool connects) {
  TensorImpl* impl = TensorImpl::create();
  Tensor made = Tensor::adopt(impl);
  impl->dtype = step.type.dtype;
  impl->shape = step.type.shape;
  make_view(step.op, step.attributes, *parent.impl(), step.index, *impl);
  if (connects || !step.recorded) set_origin(*impl, *parent.impl(), step.op, step.attributes, step.index, step.recorded);
  return made;
}

}  // namespace

RegionRun::RegionRun(const std::shared_ptr<const CompiledSegment>& segment, std::span<const Tensor> slots)
    : traced_(segment->traced), slots_(slots), outputs_(segment->forward->run(slots)) {
  const std::vector<HeldValue>& held = traced_.held;
  // Also where no gradient flows on (a floor): what has a history is no leaf.
  if (std::any_of(held.begin(), held.end(), [](const HeldValue& value) { return value.requires_grad; })) {
    const std::span<const Tensor> outputs(outputs_.data(), outputs_.size());
    node_ = make_region_node(segment, slots, outputs.subspan(traced_.roots.size()));
  }
  for (size_t i = 0; i < held.size(); ++i)
    if (held[i].views.empty()) with_history(root_of(held[i]), i);
}

Tensor RegionRun::held(size_t index) {
  const HeldValue& value = traced_.held[index];
  if (value.views.empty()) return root_of(value);
  size_t first = value.views.size();
  while (first > 0 && !known_view(value.views[first - 1].value)) --first;
  Tensor tensor = first == 0 ? root_of(value) : *known_view(value.views[first - 1].value);
  for (; first < value.views.size(); ++first) {
    tensor = apply(value.views[first], tensor, value.connects);
    views_.emplace_back(value.views[first].value, tensor);
  }
  return with_history(tensor, index);
}

void RegionRun::adopt(size_t index, TensorImpl& placeholder) {
  const HeldValue& value = traced_.held[index];
  (value.views.empty() ? outputs_[value.root] : *known_view(value.id)) = Tensor::share(&placeholder);
}

Tensor* RegionRun::known_view(ValueId value) {
  for (auto& [id, tensor] : views_)
    if (id == value) return &tensor;
  return nullptr;
}

const Tensor& RegionRun::with_history(const Tensor& tensor, size_t index) const {
  if (traced_.held[index].requires_grad && !tensor.impl()->producer)
    set_producer(*tensor.impl(), node_, static_cast<int>(index));
  return tensor;
}

}  // namespace calque
