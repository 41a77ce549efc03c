// A formula written down: a small DAG of scalar primitives, which the interpreter, the code generators and the reference
// page walk.
#pragma once

#include <cstdint>
#include <vector>

#include "ir/op/dtype.h"
#include "ir/op/op.h"

namespace calque {

/// Type of a scalar in a program. A mask is what a comparison gives; it is stored as one byte, 0 or 1.
enum class ScalarType : uint8_t { f32, f64, i32, i64, mask };

enum class Primitive : uint8_t {
  argument,     // `immediate` is its number
  constant,     // `immediate` holds its bits
  add, sub, mul, div, negate,                                   // an integer divisor is neither 0 nor -1
  fma, square_root, floor,
  less, less_equal, greater, greater_equal, equal, not_equal,   // -> mask
  select,       // mask, a, b
  bit_and, bit_or, bit_xor, bit_not,                            // integers or masks
  shift_left, shift_right,                                      // by `immediate`; right is arithmetic
  shift_right_logical,                                          // by `immediate`, bringing in zeros
  multiply_halves,                                              // i64: product of the lower halves, unsigned
  bit_cast,     // float <-> integer of the same width
  convert,      // between numbers: float -> integer truncates and saturates, NaN -> 0; mask -> 0 or 1
};

struct ScalarNode {
  Primitive primitive;
  ScalarType type;                         // of the result
  int16_t operands[3] = {-1, -1, -1};      // earlier nodes
  uint64_t immediate = 0;
  bool operator==(const ScalarNode&) const = default;
};

struct ScalarProgram {
  std::vector<ScalarNode> nodes;           // operands come before their uses
  int result = -1;
};

ScalarType scalar_type(DType dtype);

/// The program of an elementwise op whose inputs have these dtypes (the last one decides for where and binary ops; for
/// cast, `target` is the result's). Programs are made once and live as long as the process; thread safe.
const ScalarProgram& scalar_program(Op op, DType input, DType target);

}  // namespace calque
