// Copies steps.
#include "compiler/step_rows.h"

#include <algorithm>
#include <cstring>

#include "runtime/kernels/eager.h"

namespace calque {

namespace {

kernels::View step_of(kernels::View sequence, int64_t index) {
  const int64_t bytes = sequence.strides[0] * static_cast<int64_t>(size_of(sequence.dtype));
  sequence.data = static_cast<std::byte*>(sequence.data) + index * bytes;
  sequence.shape.erase(0);
  std::shift_left(sequence.strides.begin(), sequence.strides.end(), 1);
  return sequence;
}

}  // namespace

Tensor joined(const Type& type, std::span<const Tensor* const> steps) {
  const Tensor sequence = empty(type);
  const kernels::View all = sequence.impl()->view();
  for (size_t i = 0; i < steps.size(); ++i) {
    const kernels::View to = step_of(all, static_cast<int64_t>(i));
    if (steps[i]) kernels::copy(steps[i]->impl()->view(), to);
    else std::memset(to.data, 0, to.shape.element_count() * size_of(to.dtype));
  }
  return sequence;
}

Tensor step_view(const Tensor& sequence, int64_t index) {
  const TensorImpl& all = *sequence.impl();
  const kernels::View view = step_of(all.view(), index);
  TensorImpl* const step = TensorImpl::create();
  step->dtype = view.dtype;
  step->shape = view.shape;
  step->strides = view.strides;
  step->offset = all.offset + index * all.strides[0];
  step->storage = all.storage;
  return Tensor::adopt(step);
}

Tensor step_copy(const Tensor& sequence, int64_t index) {
  const kernels::View step = step_of(sequence.impl()->view(), index);
  const Tensor copy = empty({step.dtype, step.shape});
  kernels::copy(step, copy.impl()->view());
  return copy;
}

}  // namespace calque
