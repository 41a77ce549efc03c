// An emitter that follows types only: shape rules of composites, and what a gradient rule reads, come from running them.
#pragma once

#include <vector>

#include "ir/op/emitter.h"

namespace calque {

class TypeEmitter final : public Emitter {
 public:
  /// Adds a value of the given type, as an input of the program.
  Value add(const Type& type);
  std::vector<Value> emit(Op op, std::span<const Value> inputs, Attributes attributes) override;
  Type type(Value value) override { return types_[value.id]; }
  /// Whether any op has taken the value as an operand.
  bool was_read(Value value) const { return read_[value.id]; }

 private:
  std::vector<Type> types_;
  std::vector<bool> read_;
};

std::vector<Type> infer_composite(const OpRow& row, std::span<const Type> inputs, const Attributes& attributes);

/// Bit i of `inputs` (`results`): the gradient rule of the op reads the values of input i (result i), for the inputs
/// whose bit is set in `needed`. What is not read need not be kept for the backward pass.
struct GradientReads {
  uint64_t inputs = 0;
  uint64_t results = 0;
};
GradientReads gradient_reads(Op op, std::span<const Type> inputs, std::span<const Type> results,
                             const Attributes& attributes, uint64_t needed);

}  // namespace calque
