// The reference for programs that write in place: the interpreter's ops over values that lie in memory.
#pragma once

#include <span>
#include <vector>

#include "ir/graph/literal.h"
#include "tests/fuzz/run_program.h"

namespace calque::test {

struct MemoryOutcome {
  std::vector<Literal> inputs, outputs;  // as they are when the program has ended; outputs that are left out are empty
};

/// What one call gives, computed by the reference interpreter on `inputs` (one for each input). Which branches it takes and
/// which results are views is taken from `eager`. A view is the list of the elements of its base that it shows: its op applied
/// to their numbers.
MemoryOutcome run_in_memory(const RandomProgram& program, std::span<const Literal> inputs, const Outcome& eager, int call);

}  // namespace calque::test
