// Rules of the matrix products, and of the nodes with a block, which only passes make.
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

namespace {

/// The last two axes, as a matrix.
Type matrix_of(const Type& x) {
  return {x.dtype, x.shape.rank() < 2 ? x.shape : Shape(x.shape.dims().last(2))};
}

Value transposed(const Value& x) {
  const int rank = type_of(x).shape.rank();
  std::vector<int64_t> axes(rank);
  for (int axis = 0; axis < rank; ++axis) axes[axis] = axis;
  std::swap(axes[rank - 2], axes[rank - 1]);
  return permute(x, axes);
}

/// All rows of all matrices as one matrix.
Value as_rows(const Value& x) { return reshape(x, {-1, type_of(x).shape.back()}); }

}  // namespace

void infer_matmul(std::span<const Type> inputs, Attributes&, std::vector<Type>& results) {
  const Shape &a = inputs[0].shape, &b = inputs[1].shape;
  const Type matrix = product_type(matrix_of(inputs[0]), matrix_of(inputs[1]), "matmul");
  Shape shape = matrix.shape;
  if (a.rank() > 2 || b.rank() > 2) {
    shape = broadcast_shapes(Shape(a.dims().first(a.rank() - 2)), Shape(b.dims().first(b.rank() - 2)), "matmul");
    shape.push_back(matrix.shape[0]);
    shape.push_back(matrix.shape[1]);
  }
  results = {{matrix.dtype, Shape(shape.dims())}};
}
/// Where one matrix b serves all of a, its gradient is one product over all rows.
void gradient_matmul(GradientContext& context) {
  const Value &g = context.result_gradient(), &a = context.input(0), &b = context.input(1);
  if (context.needs(0)) context.give(0, matmul(g, transposed(b)));
  if (!context.needs(1)) return;
  const bool one_for_all = type_of(b).shape.rank() == 2 && type_of(a).shape.rank() > 2 &&
                           type_of(a).shape.element_count() > 0 && type_of(g).shape.element_count() > 0;
  context.give(1, one_for_all ? matmul(transposed(as_rows(a)), as_rows(g)) : matmul(transposed(a), g));
}

void infer_product_sum(std::span<const Type> inputs, Attributes&, std::vector<Type>& results) {
  if (inputs.size() < 2 || inputs.size() % 2 != 0) throw UserError("product_sum: takes pairs of matrices");
  results = {product_type(inputs[0], inputs[1], "product_sum")};
  for (size_t i = 2; i < inputs.size(); i += 2)
    if (product_type(inputs[i], inputs[i + 1], "product_sum") != results[0])
      throw UserError("product_sum: the products differ in type");
}

/// The types of a fusion or loop come from its block, so the graph knows them; see block_result_types.
void infer_fusion(std::span<const Type>, Attributes&, std::vector<Type>&) {
  throw UserError("fusion: its result types come from its block, which is missing");
}

void infer_loop(std::span<const Type>, Attributes&, std::vector<Type>&) {
  throw UserError("loop: its result types come from its block, which is missing");
}

}  // namespace calque
