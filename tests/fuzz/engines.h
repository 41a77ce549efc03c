// Runs a random program on every engine and says where they differ.
#pragma once

#include <cstdint>
#include <string>

#include "tests/fuzz/random_program.h"

namespace calque::test {

struct FuzzCounts {
  uint64_t plan_runs = 0;
  uint64_t gradients = 0;  // compared between compiled and eager, in every bit
  uint64_t near_gradients = 0;  // compared within rounding, where they are added in another order
  uint64_t refusals = 0;   // calls in which eager execution threw a UserError, and compiled did too
  uint64_t other_refusals = 0;  // backward passes after a write in place that only one of the two refused
};

/// Some calls with different data, branches, sizes and aliases: eager against the interpreter, and compiled against eager;
/// outputs, inputs afterwards, gradients, whether they require grad, which way the function went, whether it threw. Empty
/// when all agree, else one sentence.
std::string difference(const RandomProgram& program, uint32_t seed, FuzzCounts* counts = nullptr);

}  // namespace calque::test
