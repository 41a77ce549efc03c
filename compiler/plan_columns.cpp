// Loops whose steps are short and done by columns: which of their steps have to wait for other members of a team, when each
// member does the same columns of every step.
#include <algorithm>
#include <iterator>

#include "compiler/bound_step.h"
#include "compiler/epilogue.h"
#include "compiler/plan_builder.h"
#include "runtime/kernels/gemm.h"

namespace calque {

namespace {

/// Whose elements of a buffer a step touches. Of each `period` elements, every member has its own; they begin at `phase`.
struct Access {
  static constexpr int64_t kAnyones = 0, kOfFirstMember = -1;
  int buffer;
  int64_t period = kAnyones, phase = 0;

  bool operator==(const Access&) const = default;
};
using Accesses = std::vector<Access>;

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

/// What members touch at the same time; the rows of products are anyone's.
struct StepAccess {
  Accesses reads, writes;

  StepAccess() = default;
  explicit StepAccess(const PlanStep& step) {
    for (const PlanStep& product : step.products) add_product(product, step.period);
    if (step.kind == PlanStep::Kind::product) add_product(step, step.period);
    else if (step.period == 0) add_all_of_first_member(step);
    else add_kernel(step);
  }

 private:
  void add_kernel(const PlanStep& step) {
    const bool has_parts = step.domain == Domain::rows;
    const std::vector<bool> by_parts = has_parts ? inputs_read_by_parts(step) : std::vector<bool>();
    for (size_t i = 0; i < step.inputs.size(); ++i) {
      const Place& place = step.inputs[i];
      reads.push_back((has_parts ? by_parts[i] : is_own(step, place)) ? own(place, step.period) : Access{place.buffer});
    }
    for (const Place& place : step.results)
      writes.push_back(has_parts || is_own(step, place) ? own(place, step.period) : Access{place.buffer});
  }
  void add_product(const PlanStep& product, int64_t period) {
    for (const Place& place : product.inputs) reads.push_back({place.buffer});
    writes.push_back(own(product.results[0], period));
  }
  void add_all_of_first_member(const PlanStep& step) {
    for (const Place& place : step.inputs) reads.push_back({place.buffer, Access::kOfFirstMember});
    for (const Place& place : step.results) writes.push_back({place.buffer, Access::kOfFirstMember});
  }
};

/// The row with which a step's products begin; null where it has none.
const Place* first_row(const PlanStep& step) {
  if (step.kind == PlanStep::Kind::product) return &step.inputs[0];
  return step.products.empty() ? nullptr : &step.products[0].inputs[0];
}

/// What the first member touches until it has multiplied its own columns of that row.
StepAccess early_access(const PlanStep& step, const Place& row) {
  const Place& result = step.kind == PlanStep::Kind::product ? step.results[0] : step.products[0].results[0];
  StepAccess access;
  access.reads.push_back(own(row, step.period));
  access.writes.push_back(own(result, step.period));
  return access;
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
  StepAccess touched;
  const auto meet = [&](const Access& a, const Access& b) {
    if (a.period == Access::kOfFirstMember && b.period == Access::kOfFirstMember) return false;
    return overlap(a.buffer, b.buffer) && (a != b || a.period == Access::kAnyones);
  };
  const auto meets = [&](const Accesses& some, const Accesses& others) {
    return std::ranges::any_of(
        some, [&](const Access& a) { return std::ranges::any_of(others, [&](const Access& b) { return meet(a, b); }); });
  };
  const auto conflicts = [&](const StepAccess& access) {
    return meets(access.reads, touched.writes) || meets(access.writes, touched.writes) || meets(access.writes, touched.reads);
  };
  for (PlanStep& step : body) step.starts_early = may_start_early(step);
  for (int round = 0; round < 2; ++round)  // what its last step touches, its first one may meet
    for (PlanStep& step : body) {
      const StepAccess access(step);
      step.waits |= conflicts(access);
      step.starts_early = step.starts_early && !conflicts(early_access(step, *first_row(step)));
      if (step.waits) touched = {};
      std::ranges::copy(access.reads, std::back_inserter(touched.reads));
      std::ranges::copy(access.writes, std::back_inserter(touched.writes));
    }
  for (PlanStep& step : body) step.starts_early &= step.waits;
}

}  // namespace calque
