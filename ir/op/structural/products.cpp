// Rules of the matrix products, and of the fusion node that only passes make.
#include <fmt/format.h>

#include "ir/op/emitter.h"
#include "ir/op/error.h"

namespace calque {

namespace {

Type product_type(const Type& a, const Type& b, const char* op) {
  if (a.shape.rank() != 2 || b.shape.rank() != 2)
    throw UserError(fmt::format("{}: takes matrices [M,K] x [K,N], got {} x {}", op, to_string(a), to_string(b)));
  if (a.dtype != b.dtype || !is_floating(a.dtype))
    throw UserError(fmt::format("{}: takes two of f32 or two of f64, got {} x {}", op, to_string(a), to_string(b)));
  if (a.shape[1] != b.shape[0])
    throw UserError(fmt::format("{}: inner dimensions differ: {} x {} ({} vs {})", op, to_string(a.shape),
                                to_string(b.shape), a.shape[1], b.shape[0]));
  return {a.dtype, Shape{a.shape[0], b.shape[1]}};
}

}  // namespace

void infer_matmul(std::span<const Type> inputs, Attributes&, std::vector<Type>& results) {
  results = {product_type(inputs[0], inputs[1], "matmul")};
}
void gradient_matmul(GradientContext& context) {
  const Value& g = context.result_gradient();
  if (context.needs(0)) context.give(0, matmul(g, permute(context.input(1), {1, 0})));
  if (context.needs(1)) context.give(1, matmul(permute(context.input(0), {1, 0}), g));
}

void infer_product_sum(std::span<const Type> inputs, Attributes&, std::vector<Type>& results) {
  if (inputs.size() < 2 || inputs.size() % 2 != 0) throw UserError("product_sum: takes pairs of matrices");
  results = {product_type(inputs[0], inputs[1], "product_sum")};
  for (size_t i = 2; i < inputs.size(); i += 2)
    if (product_type(inputs[i], inputs[i + 1], "product_sum") != results[0])
      throw UserError("product_sum: the products differ in type");
}

/// The types of a fusion are those that its block returns, so the graph checks it; see ir/graph/verifier.cpp.
void infer_fusion(std::span<const Type>, Attributes&, std::vector<Type>&) {
  throw UserError("fusion: its result types come from its block, which is missing");
}

}  // namespace calque
