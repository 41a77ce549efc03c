// Runs a compiled segment.
#include "compiler/region_run.h"

#include <algorithm>

#include "compiler/region.h"
#include "compiler/step_rows.h"
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
    : segment_(*segment),
      traced_(segment->traced),
      slots_(slots),
      joined_(segment->takes_sequences() ? segment->inputs_of(slots) : std::vector<Tensor>()),
      outputs_(segment->forward->run(inputs())) {
  // Also where no gradient flows on (a floor): what has a history is no leaf.
  if (std::ranges::any_of(traced_.held, &HeldValue::requires_grad)) {
    const std::span<const Tensor> outputs(outputs_.data(), outputs_.size());
    node_ = make_region_node(segment, slots, inputs(), outputs.subspan(traced_.roots.size()));
  }
  for (size_t i = 0; i < segment_.held.size(); ++i) {
    const HeldValue& value = traced_.held[segment_.held[i].entry];
    if (value.views.empty() && value.steps.empty()) with_history(root_of(value), i);
  }
}

Tensor RegionRun::held(size_t index) {
  const HeldValue& value = traced_.held[segment_.held[index].entry];
  if (!value.steps.empty()) return step(segment_.held[index], index);
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

/// Somebody may write to it: its elements are nobody else's.
Tensor RegionRun::step(const HeldPlace& place, size_t index) {
  if (steps_.empty()) steps_.resize(segment_.held.size());
  if (steps_[index]) return steps_[index];
  const HeldValue& value = traced_.held[place.entry];
  Tensor step = step_copy(root_of(value), place.step);
  for (const ViewStep& view : value.views) step = apply(view, step, value.connects);
  return steps_[index] = with_history(step, index);
}

void RegionRun::adopt(size_t index, TensorImpl& placeholder) {
  const HeldValue& value = traced_.held[segment_.held[index].entry];
  if (value.steps.empty()) (value.views.empty() ? outputs_[value.root] : *known_view(value.id)) = Tensor::share(&placeholder);
}

Tensor* RegionRun::known_view(ValueId value) {
  for (auto& [id, tensor] : views_)
    if (id == value) return &tensor;
  return nullptr;
}

const Tensor& RegionRun::with_history(const Tensor& tensor, size_t index) const {
  if (traced_.held[segment_.held[index].entry].requires_grad && !tensor.impl()->producer)
    set_producer(*tensor.impl(), node_, static_cast<int>(index));
  return tensor;
}

}  // namespace calque
