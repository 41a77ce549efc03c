// Loops whose steps are short and done by columns: which of their steps have to wait for other members of a team, when each
// member does the same columns of every step.
#include <algorithm>

#include "compiler/bound_step.h"
#include "compiler/epilogue.h"
#include "compiler/plan_builder.h"
#include "runtime/kernels/gemm.h"

namespace calque {

namespace {

/// Elements that lie in whole rows of `period`, in every iteration.
Access own(const Place& place, int64_t period) {
  const bool stays_in_phase = place.walk.step % period == 0;
  return stays_in_phase ? Access{place.buffer, period, place.offset % period} : Access{place.buffer};
}

bool is_one_row(const PlanStep& product) {
  const Shape& shape = product.results[0].type.shape;
  for (size_t right = 1; right < product.inputs.size(); right += 2)
    if (product.inputs[right].walk != Walk{}) return false;
  return shape[0] == 1 && shape[1] > 0 && shape[1] % kernels::kColumnUnit == 0;
}

bool may_be_bound(const PlanStep& step) {
  if (step.nanoseconds >= PlanStep::kShort) return false;
  if (step.kind == PlanStep::Kind::product) return is_one_row(step);
  if (step.kind != PlanStep::Kind::kernel || (step.domain == Domain::rows && step.rows != 1)) return false;
  return std::ranges::all_of(step.products, is_one_row) &&
         (step.products.empty() || step.part_columns % kernels::kColumnUnit == 0);
}

int64_t period_of(const PlanStep& step) {
  if (step.kind == PlanStep::Kind::product) return step.results[0].type.shape[1];
  return step.domain == Domain::rows ? step.part_columns : step.columns;
}

/// Whether a kernel that is not one of rows touches of the operand what lies at the positions of its own columns only.
bool is_own(const PlanStep& step, const Place& place) {
  const Shape& shape = place.type.shape;
  if (step.domain == Domain::flat) return shape.element_count() == step.period;
  const int64_t bytes = step.period * static_cast<int64_t>(size_of(place.type.dtype));
  return shape.rank() > 0 && shape.back() == step.period && Operand(place).row_stride % bytes == 0;
}

void add_product(Touched& touched, const PlanStep& product, int64_t period) {
  for (const Place& place : product.inputs) touched.reads.push_back({place.buffer});  // its rows are anyone's
  touched.writes.push_back(own(product.results[0], period));
}

void add_kernel(Touched& touched, const PlanStep& step) {
  const bool is_of_first_member = step.period == 0, has_parts = step.domain == Domain::rows && !is_of_first_member;
  const std::vector<bool> by_parts = has_parts ? inputs_read_by_parts(step) : std::vector<bool>();
  const auto access = [&](const Place& place, bool is_by_parts) {
    if (is_of_first_member) return Access{place.buffer, Access::kOfFirstMember};
    return (has_parts ? is_by_parts : is_own(step, place)) ? own(place, step.period) : Access{place.buffer};
  };
  for (size_t i = 0; i < step.inputs.size(); ++i) touched.reads.push_back(access(step.inputs[i], has_parts && by_parts[i]));
  for (const Place& place : step.results) touched.writes.push_back(access(place, true));
}

Touched touched_by(const PlanStep& step) {
  Touched touched;
  for (const PlanStep& product : step.products) add_product(touched, product, step.period);
  if (step.kind == PlanStep::Kind::product) add_product(touched, step, step.period);
  else add_kernel(touched, step);
  return touched;
}

/// The row with which a step's products begin; null where it has none.
const Place* first_row(const PlanStep& step) {
  if (step.kind == PlanStep::Kind::product) return &step.inputs[0];
  return step.products.empty() ? nullptr : &step.products[0].inputs[0];
}

/// What the first member touches until it has multiplied its own columns of that row.
Touched touched_early(const PlanStep& step, const Place& row) {
  const Place& result = step.kind == PlanStep::Kind::product ? step.results[0] : step.products[0].results[0];
  return {{own(row, step.period)}, {own(result, step.period)}};
}

bool may_start_early(const PlanStep& step) {
  const Place* const row = first_row(step);
  return row && row->strides[1] == 1 && row->type.shape[1] >= step.period;
}

}  // namespace

void PlanBuilder::bind_loops(std::span<PlanStep> steps) {
  for (PlanStep& step : steps) {
    if (step.kind != PlanStep::Kind::loop) continue;
    bind_loops(step.body);
    step.may_be_bound = step.body.size() <= BoundStep::kMostOfLoop && std::ranges::all_of(step.body, may_be_bound);
    if (!step.may_be_bound) continue;
    for (PlanStep& inner : step.body) inner.period = period_of(inner);
    place_waits(step.body);
  }
}

/// As place_barriers() does, but of columns that are the same member's each time nobody else waits.
void PlanBuilder::place_waits(std::span<PlanStep> body) const {
  Touched touched;
  for (PlanStep& step : body) step.starts_early = may_start_early(step);
  for (int round = 0; round < 2; ++round)  // what its last step touches, its first one may meet
    for (PlanStep& step : body) {
      const Touched of_step = touched_by(step);
      step.waits |= has_to_wait(of_step, touched);
      step.starts_early = step.starts_early && !has_to_wait(touched_early(step, *first_row(step)), touched);
      if (step.waits) touched = {};
      touched.add(of_step);
    }
  for (PlanStep& step : body) step.starts_early &= step.waits;
}

}  // namespace calque
