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

/// `indexing` rows read row numbers in their second operand, which must be in range; see index_bound.
enum class OpKind : uint8_t { elementwise, reduction, view, matmul, structural, indexing, creation, composite, fusion, loop, gradient };

/// Which dtypes an elementwise op takes and gives; see elementwise.def.
enum class Signature : uint8_t { none, numeric, floating, integral, compare, equality, logical, word, select };

/// Whether an elementwise op takes operands of this dtype; a `where`, besides its mask.
bool accepts(Signature signature, DType dtype);

/// What becomes of operands of mixed dtypes before the op itself, which takes no mixture: see runtime/promotion.h.
enum class Promotion : uint8_t {
  none,      // taken as they are
  common,    // cast to their common dtype
  floating,  // the same, and integers and bools to f32
  counting,  // bools to i64
};

/// Where a reduction starts from; lowest and highest are the infinities, or the ends of the integers.
enum class ReductionStart : uint8_t { zero, one, lowest, highest };

/// The number as `full` takes it: infinities saturate where the dtype is an integer.
double identity_value(ReductionStart identity);

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
  Promotion promotion;
  int inputs;                                  // kVariadic: any number from one on
  bool several_results;                        // a split, a fusion, a loop, a grad
  bool ir_only;                                // made by passes, or of a call that is no op (grad)
  std::span<const AttributeSpec> attributes;
  InferFunction infer;
  GradientFunction gradient;                   // null for composites and IR-only ops
  BodyFunction body;                           // composites only
  Op join;                                     // reductions only: the elementwise op that joins two elements
  ReductionStart identity;                           // reductions only
  const char* documentation;
};

extern const OpRow kOpRows[kOpCount];  // inline, since every op asks
inline const OpRow& row(Op op) { return kOpRows[static_cast<int>(op)]; }
std::optional<Op> op_named(std::string_view name);

/// Whether the second operand holds row numbers: of an op of kind `indexing`, or of one whose body hands them to such an op.
inline bool reads_row_numbers(Op op) { return row(op).kind == OpKind::indexing || op == Op::index_select; }
/// How many rows such an op can name, once `infer` has passed: an index must be in [0, bound).
int64_t index_bound(Op op, std::span<const Type> inputs, const Attributes& attributes);

/// Runs the row's shape rule with its checks of arity.
std::vector<Type> infer(Op op, std::span<const Type> inputs, Attributes& attributes);

}  // namespace calque
