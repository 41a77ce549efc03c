// Loops whose steps are too small to share, and that do not depend on each other, run at the same time: the two directions of a
// sequence, say.
#include <algorithm>

#include "compiler/plan_builder.h"

namespace calque {

namespace {

bool is_small_loop(const PlanStep& step) {
  return step.kind == PlanStep::Kind::loop && step.sharing != PlanStep::Sharing::always;
}

int64_t numbers_of(const PlanStep& step) {
  int64_t count = 0;
  for (const PlanStep& inner : step.body) count += numbers_of(inner);
  return step.kind == PlanStep::Kind::loop ? count : 1;
}

}  // namespace

/// Collects, from each small loop on, those that may run beside it; steps between them, which depend on none, come first.
void PlanBuilder::set_loops_beside() {
  std::vector<PlanStep>& steps = plan_.steps_;
  for (size_t first = 0; first < steps.size(); ++first) {
    if (!is_small_loop(steps[first])) continue;
    std::vector<size_t> group = {first};
    size_t next = first + 1;
    for (; next < steps.size(); ++next) {
      if (std::ranges::any_of(group, [&](size_t loop) { return steps[loop].depends_on(steps[next]); })) break;
      if (is_small_loop(steps[next])) group.push_back(next);
    }
    if (!is_worth_a_member_each(group)) continue;
    std::stable_partition(steps.begin() + static_cast<std::ptrdiff_t>(first),
                          steps.begin() + static_cast<std::ptrdiff_t>(group.back()) + 1,
                          [](const PlanStep& step) { return !is_small_loop(step); });
    first = group.back();
    for (size_t i = 0; i < group.size(); ++i) {
      PlanStep& loop = steps[first + 1 - group.size() + i];
      loop.sharing = PlanStep::Sharing::never;
      loop.owner = static_cast<int>(i);
    }
  }
}

/// Also accounts for their work as the team's, then.
bool PlanBuilder::is_worth_a_member_each(std::span<const size_t> group) {
  double total = 0, longest = 0;
  for (size_t i : group) {
    total += plan_.steps_[i].nanoseconds;
    longest = std::max(longest, plan_.steps_[i].nanoseconds);
  }
  if (group.size() < 2 || total < kWorthATeam || longest > 0.8 * total) return false;
  for (size_t i : group) {
    const PlanStep& loop = plan_.steps_[i];
    (loop.sharing == PlanStep::Sharing::never ? work_.alone : work_.undecided) -= loop.nanoseconds;
  }
  work_.shared += total;
  return true;
}

/// What loops that run at the same time touch is alive in all of them.
void PlanBuilder::lengthen_lifetimes_beside() {
  const std::vector<PlanStep>& steps = plan_.steps_;
  int64_t number = 0;
  for (size_t i = 0; i < steps.size();) {
    size_t end = i + 1;
    while (end < steps.size() && steps[end].owner > 0) ++end;
    int64_t behind = number;
    for (size_t k = i; k < end; ++k) behind += numbers_of(steps[k]);
    for (size_t k = i; end - i > 1 && k < end; ++k)
      for (const std::vector<Place>& places : {steps[k].reads(), steps[k].writes()})
        for (const Place& place : places) {
          PlanBuffer& buffer = plan_.buffers_[place.buffer];
          buffer.first_step = std::min(buffer.first_step, static_cast<int>(number));
          buffer.last_step = std::max(buffer.last_step, static_cast<int>(behind - 1));
        }
    number = behind;
    i = end;
  }
}

}  // namespace calque
