// Runs a random program on every engine and says where they differ.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tests/fuzz/random_program.h"

namespace calque::test {

struct FuzzCounts {
  uint64_t plan_runs = 0;
  uint64_t gradients = 0;
};

/// Four calls with different data: eager against the interpreter, and compiled against eager; outputs, gradients, whether
/// they require grad, and how far the function went. Empty when all agree, else one sentence.
std::string difference(const RandomProgram& program, uint32_t seed, FuzzCounts* counts = nullptr);

/// The program with one thing less that the host does, in every way.
std::vector<RandomProgram> without_host_steps(const RandomProgram& program);

}  // namespace calque::test
