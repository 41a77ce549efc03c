// Rules of the ops that make tensors from nothing.
#include "ir/op/emitter.h"
#include "ir/op/error.h"

namespace calque {

void infer_full(std::span<const Type>, Attributes& attributes, std::vector<Type>& results) {
  results = {{attributes.dtype(1), Shape(attributes.list(2))}};
}
void gradient_full(GradientContext&) {}

void infer_arange(std::span<const Type>, Attributes& attributes, std::vector<Type>& results) {
  if (attributes[0] < 0) throw UserError("arange: stop is negative");
  if (!is_numeric(attributes.dtype(1))) throw UserError("arange: a bool range makes no sense; take a number dtype");
  results = {{attributes.dtype(1), Shape{attributes[0]}}};
}
void gradient_arange(GradientContext&) {}

void infer_cast(std::span<const Type> inputs, Attributes& attributes, std::vector<Type>& results) {
  results = {{attributes.dtype(0), inputs[0].shape}};
}
void gradient_cast(GradientContext& context) {
  const DType from = type_of(context.input(0)).dtype;
  if (is_floating(from) && is_floating(context.attributes().dtype(0)))
    context.give(0, cast(context.result_gradient(), from));
}

}  // namespace calque
