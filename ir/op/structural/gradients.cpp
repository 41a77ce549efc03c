// The rule of `grad`: gradients have the types of what they are differentiated by.
#include <fmt/format.h>

#include "ir/op/error.h"
#include "ir/op/op.h"

namespace calque {

void infer_grad(std::span<const Type> inputs, Attributes& attributes, std::vector<Type>& results) {
  const auto count = static_cast<int64_t>(inputs.size());
  const int64_t outputs = attributes[0];
  if (outputs < 0 || outputs > count / 2 || 2 * outputs == count)
    throw UserError(fmt::format("grad: {} outputs, their weights and something to differentiate by are not {} operands",
                                outputs, count));
  for (const Type& type : inputs)
    if (!is_floating(type.dtype)) throw UserError(fmt::format("grad: {} has no gradients; f32 and f64 do", to_string(type)));
  for (int64_t i = 0; i < outputs; ++i)
    if (inputs[i] != inputs[outputs + i])
      throw UserError(fmt::format("grad: an output is {}, its weight {}", to_string(inputs[i]), to_string(inputs[outputs + i])));
  results.assign(inputs.begin() + 2 * outputs, inputs.end());
}

}  // namespace calque
