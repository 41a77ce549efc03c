// Tensors on memory that others lend, and memory of tensors lent to others.
#include "calque/dlpack.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdint>

#include "ir/op/error.h"
#include "runtime/observer.h"
#include "runtime/tensor_impl.h"

namespace calque {

namespace {

struct DTypeCode {
  DType dtype;
  DLDataTypeCode code;
};
constexpr DTypeCode kDTypeCodes[] = {{DType::f32, kDLFloat},
                                     {DType::f64, kDLFloat},
                                     {DType::i64, kDLInt},
                                     {DType::i32, kDLInt},
                                     {DType::boolean, kDLBool}};

DType dtype_of_dlpack(const DLDataType& type) {
  for (const auto& [dtype, code] : kDTypeCodes)
    if (type.code == code && type.bits == 8 * size_of(dtype) && type.lanes == 1) return dtype;
  throw UserError(fmt::format("from_dlpack: there is no dtype for code {}, {} bits, {} lanes; f32, f64, i64, i32 and bool are known",
                              type.code, type.bits, type.lanes));
}

DLDataType dlpack_type(DType dtype) {
  const auto* found = std::ranges::find(kDTypeCodes, dtype, &DTypeCode::dtype);
  return {static_cast<uint8_t>(found->code), static_cast<uint8_t>(8 * size_of(dtype)), 1};
}

Shape checked_shape(const DLTensor& lent) {
  if (lent.ndim < 0 || lent.ndim > kMaxRank)
    throw UserError(fmt::format("from_dlpack: rank {} is not from 0 to {}", lent.ndim, kMaxRank));
  if (lent.ndim > 0 && !lent.shape) throw UserError("from_dlpack: the shape is a null pointer");
  return Shape(std::span<const int64_t>(lent.shape, static_cast<size_t>(lent.ndim)));
}

/// Strides, and with them the check that every element has an address.
void set_checked_strides(TensorImpl& impl, const DLTensor& lent) {
  impl.set_contiguous_strides();
  if (!lent.strides) return;
  int64_t last = 0;  // element that lies furthest from the first
  for (int axis = 0; axis < impl.shape.rank(); ++axis) {
    const int64_t stride = lent.strides[axis];
    int64_t reach = 0;
    if (impl.shape[axis] > 1 && stride < 0)
      throw UserError("from_dlpack: a stride is negative; hand over a copy in row-major order");
    if (impl.shape[axis] > 1 &&
        (__builtin_mul_overflow(stride, impl.shape[axis] - 1, &reach) || __builtin_add_overflow(last, reach, &last)))
      throw UserError("from_dlpack: the strides reach beyond any memory");
    if (impl.shape[axis] > 1) impl.strides[axis] = stride;
  }
  if (last > INT64_MAX / 16) throw UserError("from_dlpack: the strides reach beyond any memory");
}

std::byte* checked_data(const DLTensor& lent, const TensorImpl& impl) {
  if (impl.shape.element_count() == 0) return nullptr;
  if (!lent.data) throw UserError("from_dlpack: the data is a null pointer");
  auto* data = static_cast<std::byte*>(lent.data) + lent.byte_offset;
  if (reinterpret_cast<uintptr_t>(data) % size_of(impl.dtype) != 0)
    throw UserError(fmt::format("from_dlpack: the data is not aligned to the {} bytes of an element", size_of(impl.dtype)));
  return data;
}

void check_bools(const TensorImpl& impl) {
  Tensor bytes = empty(impl.type());
  kernels::copy(impl.view(), bytes.impl()->view());
  const auto* first = bytes.impl()->view().as<uint8_t>();
  if (std::any_of(first, first + impl.shape.element_count(), [](uint8_t byte) { return byte > 1; }))
    throw UserError("from_dlpack: a bool in it is neither 0 nor 1");
}

void give_nothing_back(void*) {}

template <class Managed>
void give_back(void* lender) {
  auto* managed = static_cast<Managed*>(lender);
  if (managed->deleter) managed->deleter(managed);
}

template <class Managed>
Tensor borrow(Managed* managed, bool is_read_only) {
  const DLTensor& lent = managed->dl_tensor;
  if (lent.device.device_type != kDLCPU)
    throw UserError(fmt::format("from_dlpack: device type {} is not the CPU; copy the array to the CPU first",
                                static_cast<int>(lent.device.device_type)));
  Tensor tensor = Tensor::adopt(TensorImpl::create());
  TensorImpl& impl = *tensor.impl();
  impl.dtype = dtype_of_dlpack(lent.dtype);
  impl.shape = checked_shape(lent);
  set_checked_strides(impl, lent);
  if (impl.shape.element_count() == 0) is_read_only = true;  // there is nothing to lend, and no address to keep
  // Given back by nobody until all is checked: a refusal leaves `managed` to the caller.
  impl.storage = Ref<Storage>::adopt(Storage::borrow(checked_data(lent, impl), give_nothing_back, nullptr));
  if (impl.dtype == DType::boolean && impl.shape.element_count() > 0) check_bools(impl);
  if (is_read_only) {
    Tensor copy = empty(impl.type());
    if (impl.shape.element_count() > 0) kernels::copy(impl.view(), copy.impl()->view());
    give_back<Managed>(managed);
    return copy;
  }
  impl.storage->lender = managed;
  impl.storage->give_back = give_back<Managed>;
  return tensor;
}

/// What a lent tensor needs to stay as it is until the borrower is done.
template <class Managed>
struct Loan {
  Managed managed{};
  Tensor tensor;
  std::array<int64_t, kMaxRank> shape{}, strides{};

  static void end(Managed* managed) {
    delete static_cast<Loan*>(managed->manager_ctx);
  }
};

template <class Managed>
Managed* lend(const Tensor& tensor) {
  if (!tensor) throw UserError("to_dlpack: an empty handle is no tensor");
  if (tensor.requires_grad()) throw UserError("to_dlpack: the tensor requires grad; detach() it first");
  border("a writable pointer was taken");  // by the other library
  const kernels::View view = host_view_of(tensor);
  auto* loan = new Loan<Managed>;
  loan->tensor = tensor;
  std::copy(view.shape.begin(), view.shape.end(), loan->shape.begin());
  loan->strides = view.strides;
  loan->managed.dl_tensor = {view.data,          {kDLCPU, 0},          view.shape.rank(), dlpack_type(view.dtype),
                             loan->shape.data(), loan->strides.data(), 0};
  loan->managed.manager_ctx = loan;
  loan->managed.deleter = &Loan<Managed>::end;
  tensor.impl()->storage->written_unseen.store(true, std::memory_order_relaxed);
  return &loan->managed;
}

}  // namespace

Tensor from_dlpack(DLManagedTensorVersioned* managed) {
  if (!managed) throw UserError("from_dlpack: a null pointer is no tensor");
  if (managed->version.major != DLPACK_MAJOR_VERSION)
    throw UserError(fmt::format("from_dlpack: version {}.{} is not one of 1.x", managed->version.major, managed->version.minor));
  return borrow(managed, (managed->flags & DLPACK_FLAG_BITMASK_READ_ONLY) != 0);
}

Tensor from_dlpack(DLManagedTensor* managed) {
  if (!managed) throw UserError("from_dlpack: a null pointer is no tensor");
  return borrow(managed, false);
}

DLManagedTensorVersioned* to_dlpack(const Tensor& tensor) {
  auto* managed = lend<DLManagedTensorVersioned>(tensor);
  managed->version = {DLPACK_MAJOR_VERSION, DLPACK_MINOR_VERSION};
  return managed;
}

DLManagedTensor* to_dlpack_unversioned(const Tensor& tensor) { return lend<DLManagedTensor>(tensor); }

}  // namespace calque
