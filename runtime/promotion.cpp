// The rules of type promotion, and the casts that carry them out.
#include "runtime/promotion.h"

#include "calque/ops.h"
#include "runtime/dispatch.h"

namespace calque {

std::optional<DType> promoted_dtype(Promotion promotion, DTypeSet dtypes) {
  const auto has = [&](DType dtype) { return (dtypes & set_of(dtype)) != 0; };
  if (promotion == Promotion::none || dtypes == 0) return {};
  if (promotion == Promotion::counting) return has(DType::boolean) ? std::optional(DType::i64) : std::nullopt;
  // Any float is above any integer, any number above bool; of one kind, the wider one.
  if (has(DType::f64)) return DType::f64;
  if (has(DType::f32) || promotion == Promotion::floating) return DType::f32;
  if (has(DType::i64)) return DType::i64;
  return has(DType::i32) ? DType::i32 : DType::boolean;
}

PromotedInputs::PromotedInputs(const OpRow& row, std::span<TensorImpl* const> inputs, const void* location)
    : impls_(inputs.begin(), inputs.end()) {
  const std::span<TensorImpl* const> operands = promoted_operands(row, inputs);
  DTypeSet dtypes = 0;
  for (const TensorImpl* operand : operands) dtypes |= set_of(operand->dtype);
  const std::optional<DType> target = promoted_dtype(row.promotion, dtypes);
  if (!target) return;
  casts_.reserve(operands.size());
  for (size_t i = inputs.size() - operands.size(); i < inputs.size(); ++i) {
    if (inputs[i]->dtype == *target) continue;
    TensorImpl* const operand[] = {inputs[i]};
    casts_.emplace_back();
    dispatch(Op::cast, operand, Attributes::of(*target), {&casts_.back(), 1}, location);
    impls_[i] = casts_.back().impl();
  }
}

DType promote_types(DType a, DType b) { return *promoted_dtype(Promotion::common, set_of(a) | set_of(b)); }

}  // namespace calque
