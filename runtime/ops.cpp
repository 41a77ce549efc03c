// The public functions of the op table, and the words made of them.
#include "calque/ops.h"

#include <array>

#include "runtime/dispatch.h"

namespace calque {

namespace {

// Inlined into each public function, so that the return address is the user's.
#define CALQUE_USER_LOCATION __builtin_extract_return_addr(__builtin_return_address(0))

template <size_t n>
[[gnu::always_inline]] inline Tensor apply(Op op, const Tensor* const (&tensors)[n], const Attributes& attributes) {
  TensorImpl* impls[n];
  for (size_t i = 0; i < n; ++i) impls[i] = tensors[i]->impl();
  Tensor result;
  dispatch(op, impls, attributes, {&result, 1}, CALQUE_USER_LOCATION);
  return result;
}

[[gnu::always_inline]] inline Tensor apply(Op op, std::span<const Tensor* const> tensors, const Attributes& attributes) {
  std::vector<TensorImpl*> impls;
  for (const Tensor* tensor : tensors) impls.push_back(tensor->impl());
  Tensor result;
  dispatch(op, impls, attributes, {&result, 1}, CALQUE_USER_LOCATION);
  return result;
}

[[gnu::always_inline]] inline std::vector<Tensor> apply_several(Op op, const Tensor* const (&tensors)[1],
                                                                const Attributes& attributes) {
  TensorImpl* impls[] = {tensors[0]->impl()};
  std::vector<Tensor> results(result_count(op, 1, attributes));
  dispatch(op, impls, attributes, results, CALQUE_USER_LOCATION);
  return results;
}

std::vector<const Tensor*> pointers_to(std::span<const Tensor> tensors) {
  std::vector<const Tensor*> pointers;
  for (const Tensor& tensor : tensors) pointers.push_back(&tensor);
  return pointers;
}

}  // namespace

#define CALQUE_HANDLE Tensor
#define CALQUE_WITH_CREATION
#define CALQUE_DEFINE_FUNCTIONS
#include "ir/op/functions.inc"
#undef CALQUE_DEFINE_FUNCTIONS
#undef CALQUE_WITH_CREATION
#undef CALQUE_HANDLE

Tensor scalar(double value, const Tensor& like) {
  return apply(Op::full, std::span<const Tensor* const>{}, Attributes::of(value, like.dtype(), Ints{}));
}

Tensor number_beside(double value, NumberKind kind, const Tensor& tensor) {
  const DType own = tensor.dtype();
  DType dtype = own;
  if (kind == NumberKind::fraction && !is_floating(own)) dtype = DType::f32;
  if (kind == NumberKind::whole && own == DType::boolean) dtype = DType::i64;
  return apply(Op::full, std::span<const Tensor* const>{}, Attributes::of(value, dtype, Ints{}));
}

void refuse_inexact_number() {
  throw UserError("a whole number beyond 2^53 beside a tensor is not exact; make a tensor of it with from_value");
}

Tensor transpose(const Tensor& x, int64_t axis_a, int64_t axis_b) {
  const int rank = x.rank();
  std::vector<int64_t> axes(rank);
  for (int i = 0; i < rank; ++i) axes[i] = i;
  std::swap(axes[normalize_axis(axis_a, rank, "transpose")], axes[normalize_axis(axis_b, rank, "transpose")]);
  const Tensor* const inputs[] = {&x};
  return apply(Op::permute, inputs, Attributes::of(Ints(axes)));
}

Tensor select(const Tensor& x, int64_t axis, int64_t index) {
  const int64_t normalized = normalize_axis(axis, x.rank(), "select"), size = x.size(normalized);
  const int64_t start = index < 0 ? index + size : index;
  if (start < 0 || start >= size)
    throw UserError("select: index " + std::to_string(index) + " is out of range for axis " + std::to_string(axis) +
                    " of " + to_string(x.shape()));
  Shape shape = x.shape();
  shape.erase(static_cast<int>(normalized));
  const Tensor* const inputs[] = {&x};
  const Tensor sliced = apply(Op::slice, inputs, Attributes::of(normalized, start, start + 1));
  const Tensor* const middle[] = {&sliced};
  return apply(Op::reshape, middle, Attributes::of(Ints(shape)));
}

Tensor unsqueeze(const Tensor& x, int64_t axis) {
  Shape shape = x.shape();
  shape.insert(static_cast<int>(normalize_axis(axis, shape.rank() + 1, "unsqueeze")), 1);
  const Tensor* const inputs[] = {&x};
  return apply(Op::reshape, inputs, Attributes::of(Ints(shape)));
}

Tensor stack(std::span<const Tensor> tensors, int64_t axis) {
  std::vector<Tensor> rows;
  for (const Tensor& tensor : tensors) rows.push_back(unsqueeze(tensor, axis));
  if (!rows.empty()) axis = normalize_axis(axis, rows[0].rank(), "stack");
  return apply(Op::concat, pointers_to(rows), Attributes::of(axis));
}

}  // namespace calque
