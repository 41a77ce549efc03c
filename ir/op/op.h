// The op table: one row for each op, made from elementwise.def and structural.def.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "ir/op/attributes.h"
#include "ir/op/dtype.h"
#include "ir/op/type.h"

namespace calque {

enum class Op : uint16_t {
#define CALQUE_ANY_OP(name) name,
#include "ir/op/all_ops.inc"
  count_,
};
inline constexpr int kOpCount = static_cast<int>(Op::count_);

enum class OpKind : uint8_t { elementwise, reduction, view, matmul, structural, creation, composite, fusion };

/// Which dtypes an elementwise op takes and gives; see elementwise.def.
enum class Signature : uint8_t { none, numeric, floating, compare, logical, word, select };

class Emitter;
class GradientContext;
struct Value;

/// Types of the results. Normalises `attributes` in place (negative axes, -1 sizes, empty axis lists).
/// Throws UserError with one sentence when inputs do not fit.
using InferFunction = void (*)(std::span<const Type> inputs, Attributes& attributes, std::vector<Type>& results);
using GradientFunction = void (*)(GradientContext&);
using BodyFunction = Value (*)(Emitter&, std::span<const Value> inputs, const Attributes&);

struct OpRow {
  static constexpr int kVariadic = -1;

  const char* name;
  OpKind kind;
  Signature signature;                         // elementwise ops only
  int inputs;                                  // kVariadic: any number from one on
  bool several_results;                        // a split, a fusion
  bool ir_only;                                // made by passes, never by a user
  std::span<const AttributeSpec> attributes;
  InferFunction infer;
  GradientFunction gradient;                   // null for composites and IR-only ops
  BodyFunction body;                           // composites only
  const char* documentation;
};

const OpRow& row(Op op);
std::optional<Op> op_named(std::string_view name);

/// Runs the row's shape rule with its checks of arity.
std::vector<Type> infer(Op op, std::span<const Type> inputs, Attributes& attributes);

}  // namespace calque
