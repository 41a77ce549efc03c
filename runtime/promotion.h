// Type promotion, the one place where dtypes are mixed: before an op that wants operands of one dtype runs, is recorded or
// matched, its operands are cast by ordinary `cast` ops. include/calque/ops.h states the rules.
#pragma once

#include <optional>
#include <span>
#include <vector>

#include "ir/op/op.h"
#include "runtime/tensor_impl.h"

namespace calque {

/// A set of dtypes, one bit for each.
using DTypeSet = uint32_t;
constexpr DTypeSet set_of(DType dtype) { return DTypeSet{1} << static_cast<int>(dtype); }

/// What operands of these dtypes (those of a `where` without its mask) are cast to; none where they stay as they are.
std::optional<DType> promoted_dtype(Promotion promotion, DTypeSet dtypes);

/// The operands that promotion looks at: all but the mask of a `where`.
inline std::span<TensorImpl* const> promoted_operands(const OpRow& row, std::span<TensorImpl* const> inputs) {
  return inputs.subspan(row.signature == Signature::select && !inputs.empty());
}

/// Whether an op takes its operands without a cast. A few instructions, since every op asks.
inline bool is_settled(const OpRow& row, std::span<TensorImpl* const> inputs) {
  const std::span<TensorImpl* const> operands = promoted_operands(row, inputs);
  if (row.promotion == Promotion::none || operands.empty()) return true;
  const DType dtype = operands[0]->dtype;
  for (const TensorImpl* operand : operands.subspan(1))
    if (operand->dtype != dtype) return false;
  switch (row.promotion) {
    case Promotion::floating: return is_floating(dtype);
    case Promotion::counting: return dtype != DType::boolean;
    default: return true;
  }
}

/// The operands after promotion: those of another dtype as casts, the others as they are.
class PromotedInputs {
 public:
  PromotedInputs(const OpRow& row, std::span<TensorImpl* const> inputs, const void* location);
  std::span<TensorImpl* const> impls() const { return impls_; }

 private:
  std::vector<Tensor> casts_;
  std::vector<TensorImpl*> impls_;
};

}  // namespace calque
