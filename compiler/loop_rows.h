// Whether the rows of a batch go through a loop without meeting each other.
#pragma once

#include "compiler/plan.h"

namespace calque {

/// The rows R of all that a step of the loop computes, where each is made from the same row of what the loop made before, and
/// from what it does not write. A thread may then take some rows through all steps alone. 0 where that is not so.
int64_t independent_rows(const PlanStep& loop);

}  // namespace calque
