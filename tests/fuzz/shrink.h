// Cuts a program that fails down to what matters (delta debugging).
#pragma once

#include <functional>
#include <set>

#include "tests/fuzz/random_program.h"

namespace calque::test {

/// Takes away nodes (many at a time first), outputs, inputs and what the host does, while `fails` says so.
RandomProgram shrunk(RandomProgram program, const std::function<bool(const RandomProgram&)>& fails);

/// The program without some nodes: what they gave becomes inputs.
RandomProgram without_nodes(const RandomProgram& program, const std::set<NodeId>& ids);
/// The program without output `i`.
RandomProgram without_output(const RandomProgram& program, size_t i);
/// The program without inputs that nothing reads or writes.
RandomProgram without_unused_inputs(const RandomProgram& program);

}  // namespace calque::test
