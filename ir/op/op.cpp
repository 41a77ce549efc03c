// Builds the op table from its .def files and runs shape rules.
#include "ir/op/op.h"

#include <fmt/format.h>

#include <array>
#include <limits>
#include <unordered_map>

#include "ir/op/emitter.h"
#include "ir/op/error.h"
#include "ir/op/type_emitter.h"

namespace calque {

// Rules of the structural rows; each lives in ir/op/structural/.
#define CALQUE_RULES(name)                                                                   \
  void infer_##name(std::span<const Type>, Attributes&, std::vector<Type>&);                 \
  void gradient_##name(GradientContext&);
#define OP0(name, ...) CALQUE_RULES(name)
#define OP1(name, ...) CALQUE_RULES(name)
#define OP2(name, ...) CALQUE_RULES(name)
#define OPN(name, ...) CALQUE_RULES(name)
#define OPS(name, ...) CALQUE_RULES(name)
#define COMPOSITE1(name, ...) Value body_##name(Emitter&, std::span<const Value>, const Attributes&);
#define COMPOSITE2(name, ...) COMPOSITE1(name)
#define REDUCTION(name, ...) CALQUE_RULES(name)
#define IR_ONLY(name, ...) void infer_##name(std::span<const Type>, Attributes&, std::vector<Type>&);
#include "ir/op/structural.def"
#undef CALQUE_RULES

namespace {

// Gradients of the elementwise rows, as the table states them.
#define CALQUE_GIVE(i, gradient)      \
  if (context.needs(i)) {             \
    const Value zero;                 \
    (void)zero;                       \
    context.give(i, gradient);        \
  }
#define UNARY(name, signature, formula, gradient, ...)                                               \
  void gradient_##name([[maybe_unused]] GradientContext& context) {                                  \
    [[maybe_unused]] const Value &x = context.input(0), &y = context.result(),                       \
                                 &g = context.result_gradient();                                     \
    CALQUE_GIVE(0, gradient)                                                                         \
  }
#define BINARY(name, signature, formula, gradient_a, gradient_b, ...)                                \
  void gradient_##name([[maybe_unused]] GradientContext& context) {                                  \
    [[maybe_unused]] const Value &a = context.input(0), &b = context.input(1), &y = context.result(), \
                                 &g = context.result_gradient();                                     \
    CALQUE_GIVE(0, gradient_a)                                                                       \
    CALQUE_GIVE(1, gradient_b)                                                                       \
  }
#define SELECT(name, formula, gradient_a, gradient_b, ...)                                           \
  void gradient_##name([[maybe_unused]] GradientContext& context) {                                  \
    [[maybe_unused]] const Value &mask = context.input(0), &a = context.input(1), &b = context.input(2), \
                                 &g = context.result_gradient();                                     \
    CALQUE_GIVE(1, gradient_a)                                                                       \
    CALQUE_GIVE(2, gradient_b)                                                                       \
  }
#include "ir/op/elementwise.def"
#undef CALQUE_GIVE

#define CALQUE_SPEC(...) __VA_ARGS__
#define CALQUE_SPECIFICATION(name, specification) \
  constexpr std::array k_##name##_attributes = std::to_array<AttributeSpec>({{"", {}}, CALQUE_SPEC specification});
// The first entry of each array is a placeholder, so that an empty specification is an array too.
#define OP0(name, kind, parameters, attributes, specification, ...) CALQUE_SPECIFICATION(name, specification)
#define OP1(name, kind, promotion, parameters, attributes, specification, ...) CALQUE_SPECIFICATION(name, specification)
#define OP2 OP1
#define OPN OP1
#define OPS OP0
#define COMPOSITE1(name, promotion, parameters, attributes, specification, ...) CALQUE_SPECIFICATION(name, specification)
#define COMPOSITE2 COMPOSITE1
#define REDUCTION(name, ...) \
  CALQUE_SPECIFICATION(name, ({"keepdim", AttributeKind::boolean}, {"axes", AttributeKind::integers}))
#define IR_ONLY(name, kind, specification, ...) CALQUE_SPECIFICATION(name, specification)
#include "ir/op/structural.def"

#define CALQUE_ATTRIBUTES(name) std::span<const AttributeSpec>(k_##name##_attributes).subspan(1)

constexpr Promotion promotion_of(Signature signature) {
  switch (signature) {
    case Signature::floating: return Promotion::floating;
    case Signature::logical: return Promotion::none;
    default: return Promotion::common;
  }
}

constexpr Op kNoJoin = Op::count_;

}  // namespace

const OpRow kOpRows[] = {
#define CALQUE_ELEMENTWISE(name, signature, inputs, documentation)                                         \
  {#name, OpKind::elementwise, Signature::signature, promotion_of(Signature::signature), inputs, false,    \
   false, {}, nullptr, gradient_##name, nullptr, kNoJoin, {}, documentation},
#define UNARY(name, signature, formula, gradient, documentation) CALQUE_ELEMENTWISE(name, signature, 1, documentation)
#define BINARY(name, signature, formula, gradient_a, gradient_b, documentation) \
  CALQUE_ELEMENTWISE(name, signature, 2, documentation)
#define SELECT(name, formula, gradient_a, gradient_b, documentation) CALQUE_ELEMENTWISE(name, select, 3, documentation)
#include "ir/op/elementwise.def"
#define CALQUE_ROW(name, kind, promotion, inputs, several, join, identity, documentation)                  \
  {#name, OpKind::kind, Signature::none, Promotion::promotion, inputs, several, false, CALQUE_ATTRIBUTES(name), \
   infer_##name, gradient_##name, nullptr, join, identity, documentation},
#define OP0(name, kind, parameters, attributes, spec, documentation) \
  CALQUE_ROW(name, kind, none, 0, false, kNoJoin, {}, documentation)
#define OP1(name, kind, promotion, parameters, attributes, spec, documentation) \
  CALQUE_ROW(name, kind, promotion, 1, false, kNoJoin, {}, documentation)
#define OP2(name, kind, promotion, parameters, attributes, spec, documentation) \
  CALQUE_ROW(name, kind, promotion, 2, false, kNoJoin, {}, documentation)
#define OPN(name, kind, promotion, parameters, attributes, spec, documentation) \
  CALQUE_ROW(name, kind, promotion, OpRow::kVariadic, false, kNoJoin, {}, documentation)
#define OPS(name, kind, parameters, attributes, spec, documentation) \
  CALQUE_ROW(name, kind, none, 1, true, kNoJoin, {}, documentation)
#define REDUCTION(name, promotion, join, identity, documentation) \
  CALQUE_ROW(name, reduction, promotion, 1, false, Op::join, ReductionStart::identity, documentation)
#define CALQUE_COMPOSITE(name, promotion, inputs, documentation)                                            \
  {#name, OpKind::composite, Signature::none, Promotion::promotion, inputs, false, false, CALQUE_ATTRIBUTES(name), \
   nullptr, nullptr, body_##name, kNoJoin, {}, documentation},
#define COMPOSITE1(name, promotion, parameters, attributes, spec, documentation) \
  CALQUE_COMPOSITE(name, promotion, 1, documentation)
#define COMPOSITE2(name, promotion, parameters, attributes, spec, documentation) \
  CALQUE_COMPOSITE(name, promotion, 2, documentation)
#define IR_ONLY(name, kind, spec, documentation)                                                           \
  {#name, OpKind::kind, Signature::none, Promotion::none, OpRow::kVariadic, OpKind::kind != OpKind::matmul, true,         \
   CALQUE_ATTRIBUTES(name), infer_##name, nullptr, nullptr, kNoJoin, {}, documentation},
#include "ir/op/structural.def"
};
static_assert(std::size(kOpRows) == kOpCount);

namespace {

const char* accepted_dtypes(Signature signature) {
  switch (signature) {
    case Signature::floating: return "f32 or f64";
    case Signature::integral: return "i64 or i32";
    case Signature::logical: return "bool";
    case Signature::word: return "i64";
    default: return "f32, f64, i64 or i32";
  }
}

Type infer_elementwise(const OpRow& row, std::span<const Type> inputs) {
  const bool select = row.signature == Signature::select;
  if (select && inputs[0].dtype != DType::boolean)
    throw UserError(fmt::format("{}: the mask is {}, not bool", row.name, to_string(inputs[0])));
  const std::span<const Type> operands = inputs.subspan(select);
  Type result{operands[0].dtype, inputs[0].shape};
  for (const Type& operand : operands) {
    if (operand.dtype != result.dtype)
      throw UserError(fmt::format("{}: {} and {} differ in dtype; cast one of them", row.name,
                                  to_string(operands[0]), to_string(operand)));
    if (!accepts(row.signature, operand.dtype))
      throw UserError(fmt::format("{}: {} is not taken; it takes {}", row.name, to_string(operand),
                                  accepted_dtypes(row.signature)));
    result.shape = result.shape == operand.shape ? result.shape : broadcast_shapes(result.shape, operand.shape, row.name);
  }
  if (row.signature == Signature::compare || row.signature == Signature::equality) result.dtype = DType::boolean;
  return result;
}

}  // namespace

bool accepts(Signature signature, DType dtype) {
  switch (signature) {
    case Signature::floating: return is_floating(dtype);
    case Signature::integral: return is_integer(dtype);
    case Signature::logical: return dtype == DType::boolean;
    case Signature::word: return dtype == DType::i64;
    case Signature::equality:
    case Signature::select: return true;
    default: return is_numeric(dtype);
  }
}

double identity_value(ReductionStart identity) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  switch (identity) {
    case ReductionStart::zero: return 0;
    case ReductionStart::one: return 1;
    case ReductionStart::lowest: return -kInfinity;
    case ReductionStart::highest: return kInfinity;
  }
  return 0;
}

std::optional<Op> op_named(std::string_view name) {
  static const auto names = [] {
    std::unordered_map<std::string_view, Op> map;
    for (int i = 0; i < kOpCount; ++i) map.emplace(kOpRows[i].name, static_cast<Op>(i));
    return map;
  }();
  const auto found = names.find(name);
  return found == names.end() ? std::nullopt : std::optional(found->second);
}

std::vector<Type> infer(Op op, std::span<const Type> inputs, Attributes& attributes) {
  const OpRow& entry = row(op);
  const size_t least = entry.inputs == OpRow::kVariadic ? 1 : entry.inputs;
  if (inputs.size() < least || (entry.inputs != OpRow::kVariadic && inputs.size() != least))
    throw UserError(fmt::format("{}: takes {}{} inputs, got {}", entry.name,
                                entry.inputs == OpRow::kVariadic ? "at least " : "", least, inputs.size()));
  if (entry.signature != Signature::none) return {infer_elementwise(entry, inputs)};
  if (entry.kind == OpKind::composite) return infer_composite(entry, inputs, attributes);
  std::vector<Type> results;
  entry.infer(inputs, attributes, results);
  return results;
}

}  // namespace calque
