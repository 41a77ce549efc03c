// What a plan is made of, and what it says of itself.
#include "compiler/plan.h"

#include <algorithm>

#include "compiler/plan_builder.h"
#include "runtime/kernels/gemm.h"

namespace calque {

std::atomic<bool> Plan::shares_every_loop = false;

Plan::Plan(Graph lowered, Kernels kernels, std::span<const InputLayout> layouts, const std::vector<bool>& fresh,
           const std::vector<int>& same_as)
    : graph_(std::move(lowered)), kernels_(std::move(kernels)) {
  PlanBuilder(*this, layouts).build(fresh, same_as);
}

static int64_t bytes_of(int64_t elements, const Place& place) {
  return elements * static_cast<int64_t>(size_of(place.type.dtype));
}

static int64_t row_stride(const Place& place) {
  const Shape& shape = place.type.shape;
  for (int axis = shape.rank() - 2; axis >= 0; --axis)
    if (shape[axis] != 1) return bytes_of(place.strides[axis], place);
  return 0;
}

Operand::Operand(const Place& place)
    : offset(bytes_of(place.offset, place)), step(bytes_of(place.walk.step, place)), row_stride(calque::row_stride(place)),
      buffer(place.buffer), alternates(place.walk.alternates), starts_behind(place.walk.starts_behind),
      in_piece(place.walk.in_piece) {}

void PlanStep::prepare(const Kernels& all_kernels) {
  for (std::vector<PlanStep>* inner : {&products, &body, &pieces})
    for (PlanStep& step : *inner) step.prepare(all_kernels);
  operands.clear();
  for (const std::vector<Place>* places : {&inputs, &results})
    for (const Place& place : *places) operands.emplace_back(place);
  if (kind == Kind::kernel) function = all_kernels[static_cast<size_t>(kernel)].image->kernel(0);
  if (kind != Kind::product) return;
  form = {{}, results[0].type.shape[0], results[0].type.shape[1], results[0].strides[0]};
  for (size_t i = 0; i < packed.size(); ++i) {
    const ProductForm::Factor left(inputs[2 * i]), right(inputs[2 * i + 1]);
    form.terms.push_back({left, right, inputs[2 * i].type.shape[1], packed[i]});
  }
}

uint64_t Plan::loop_count() const {
  return static_cast<uint64_t>(std::count_if(
      steps_.begin(), steps_.end(), [](const PlanStep& step) { return step.kind == PlanStep::Kind::loop; }));
}

static uint64_t launches_of(std::span<const PlanStep> steps) {
  uint64_t count = 0;
  for (const PlanStep& step : steps)
    count += step.kind == PlanStep::Kind::kernel ? 1 : static_cast<uint64_t>(step.length) * launches_of(step.body);
  return count;
}

uint64_t Plan::launch_count() const { return launches_of(steps_); }

int64_t PackedOperand::elements() const {
  const Type& type = place.type;
  return type.dtype == DType::f32 ? kernels::packed_elements<float>(type.shape[0], type.shape[1])
                                  : kernels::packed_elements<double>(type.shape[0], type.shape[1]);
}

size_t Plan::peak_bytes() const {
  const size_t threads = static_cast<size_t>(ThreadPool::instance().num_threads());
  size_t total = Storage::taken_for(arena_bytes_ + scratch_bytes_ * threads);
  for (const PlanBuffer& buffer : buffers_)
    if (buffer.kind == PlanBuffer::Kind::owned) total += Storage::taken_for(buffer.bytes);
  for (const PackedOperand& operand : packed_) {
    total += Storage::taken_for(size_of(operand.place.type.dtype) * static_cast<size_t>(operand.elements()));
  }
  return total;
}

}  // namespace calque
