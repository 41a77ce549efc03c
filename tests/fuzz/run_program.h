// Runs a random program op by op, as a user's function would: eagerly, or under compile().
#pragma once

#include <cstdint>
#include <vector>

#include "calque/tensor.h"
#include "ir/graph/literal.h"
#include "tests/fuzz/random_program.h"

namespace calque::test {

using Tensors = std::vector<Tensor>;

/// Elements that are small integers, or floating-point numbers in [-2, 2) with zeros of both signs among them.
Tensor any_tensor(const Type& type, std::mt19937& random, bool is_transposed = false);

/// The inputs of one call, whose other sizes, aliases and data depend on its number.
Tensors any_inputs(const RandomProgram& program, uint32_t seed, int call);
/// The input that input i is in this call: itself, or an earlier one.
size_t input_in_call(const RandomProgram& program, size_t i, int call);

Literal literal(const Tensor& tensor);
Tensor tensor(const Literal& literal);

/// What one call did.
struct Outcome {
  Tensors outputs;              // an empty handle for one that is left out
  Tensors gradients;            // that the program took itself
  NodeId executed = 0;          // nodes
  std::vector<bool> turned;     // by node
  std::vector<bool> is_shared;  // by value: the result of an op that lies in the memory of its first operand
};

/// `notes_sharing` asks for Outcome::is_shared, which looks at every value: eager calls only.
Outcome run_program(const RandomProgram& program, const Tensors& inputs, int call, bool notes_sharing = false);

Attributes attributes_in_call(const RandomProgram& program, NodeId id, int call);
/// The op that a turn adds for values of this dtype.
Op turn_op(DType dtype);

}  // namespace calque::test
