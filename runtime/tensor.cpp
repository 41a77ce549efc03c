// Tensors: reference counting, access to elements, gradients, writes in place.
#include "calque/tensor.h"

#include <fmt/format.h>

#include "calque/autograd.h"
#include "calque/ops.h"
#include "runtime/dispatch.h"
#include "runtime/observer_post.h"
#include "runtime/tape.h"
#include "runtime/view_origin.h"
#include "runtime/views.h"

namespace calque {

// --- storage and reference counts

static constexpr size_t kHeaderBytes = 64;
static_assert(sizeof(Storage) <= kHeaderBytes);

size_t Storage::taken_for(size_t bytes) { return memory::detail::bytes_of(memory::detail::class_of(kHeaderBytes + bytes)); }

Storage* Storage::create(size_t bytes) {
  Storage* storage = new (memory::allocate(kHeaderBytes + bytes)) Storage;
  storage->bytes = bytes;
  storage->elements = reinterpret_cast<std::byte*>(storage) + kHeaderBytes;
  return storage;
}

Storage* Storage::borrow(void* elements, void (*give_back)(void* lender), void* lender) {
  Storage* storage = create(0);
  storage->elements = static_cast<std::byte*>(elements);
  storage->give_back = give_back;
  storage->lender = lender;
  storage->written_unseen = true;
  return storage;
}

void Storage::release() noexcept {
  // A sole owner needs no locked instruction.
  if (references.load(std::memory_order_acquire) != 1 && references.fetch_sub(1, std::memory_order_acq_rel) != 1) return;
  if (give_back) give_back(lender);
  const size_t size = 64 + bytes;
  this->~Storage();
  memory::free(this, size);
}

TensorImpl::TensorImpl() = default;
TensorImpl::TensorImpl(DType dtype, bool requires_grad, const Shape& shape, const Strides& strides)
    : dtype(dtype), requires_grad(requires_grad), shape(shape), strides(strides) {}
TensorImpl::~TensorImpl() = default;

std::mutex& foreign_release_mutex() {
  static std::mutex mutex;
  return mutex;
}

bool release_of_another_thread(TensorImpl& impl) noexcept {
  const std::lock_guard lock(foreign_release_mutex());
  impl.left_behind = impl.observer.load(std::memory_order_relaxed) != nullptr;
  return !impl.left_behind;
}

void TensorImpl::destroy() noexcept {
  if (Observer* owner = observer.load(std::memory_order_acquire)) {
    if (owner == thread_state.own) {
      if (owner->released(*this)) return;
    } else if (owner == thread_state.visited) {
      owner->released_elsewhere(*this);
    } else {
      return release_of_another_thread(*this) ? detail::release(this) : void();
    }
  }
  // Its observer may have taken a reference while it still had the value in its list.
  if (references.load(std::memory_order_relaxed) != 1) return detail::release(this);
  this->~TensorImpl();
  memory::free_for(this);
}

namespace detail {
void retain(TensorImpl* impl) noexcept { impl->references.fetch_add(1, std::memory_order_relaxed); }
/// The last reference is not taken off but goes to destroy(), which may leave it to the observer of the value: that finds values
/// in its list and may share one meanwhile.
void release(TensorImpl* impl) noexcept {
  for (int32_t count = impl->references.load(std::memory_order_acquire); count != 1;)
    if (impl->references.compare_exchange_weak(count, count - 1, std::memory_order_acq_rel, std::memory_order_acquire)) return;
  impl->destroy();
}
}  // namespace detail

// --- views of memory

void TensorImpl::set_contiguous_strides() { strides = row_major_strides(shape); }

kernels::View TensorImpl::view() const {
  return {storage->data() + offset * static_cast<int64_t>(size_of(dtype)), dtype, shape, strides};
}

void materialize(TensorImpl& impl) {
  if (!impl.is_pending()) return;
  if (Observer* owner = impl.observer.load(std::memory_order_acquire)) {
    if (owner == thread_state.own) owner->needed(impl);
    else materialize_elsewhere(impl, *owner);
  }
  if (impl.is_pending())
    throw UserError("a tensor has no value: the compiled function that was computing it failed");
}

kernels::View writable_view_of(TensorImpl& impl, const char* reason) {
  border(reason);
  materialize(impl);
  announce_write(*impl.storage);
  impl.storage->version.fetch_add(1, std::memory_order_relaxed);
  return impl.view();
}

kernels::View view_of(const Tensor& tensor) {
  materialize(*tensor.impl());
  return tensor.impl()->view();
}

kernels::View host_view_of(const Tensor& tensor) {
  TensorImpl& impl = *tensor.impl();
  effect("the elements of a tensor are read");
  Observer* owner = impl.observer.load(std::memory_order_relaxed);
  if (owner && owner == thread_state.observer) owner->needed(impl);
  return view_of(tensor);
}

Tensor empty(const Type& type) {
  TensorImpl* impl = TensorImpl::create();
  impl->dtype = type.dtype;
  impl->shape = type.shape;
  impl->set_contiguous_strides();
  impl->storage = Ref<Storage>::adopt(Storage::create(type.shape.element_count() * size_of(type.dtype)));
  return Tensor::adopt(impl);
}

// --- Tensor

namespace {
TensorImpl& checked(TensorImpl* impl) {
  if (!impl) throw UserError("an empty handle is used as a tensor");
  return *impl;
}

void check_dtype(const TensorImpl& impl, DType asked) {
  if (impl.dtype != asked)
    throw UserError(fmt::format("data: the tensor holds {}, not {}; cast it first", name(impl.dtype), name(asked)));
}
}  // namespace

DType Tensor::dtype() const { return checked(impl_).dtype; }
const Shape& Tensor::shape() const { return checked(impl_).shape; }
int64_t Tensor::size(int64_t axis) const {
  return shape()[static_cast<int>(normalize_axis(axis, rank(), "size"))];
}
int64_t Tensor::stride(int64_t axis) const {
  return checked(impl_).strides[normalize_axis(axis, rank(), "stride")];
}

bool Tensor::is_contiguous() const {
  const TensorImpl& impl = checked(impl_);
  return kernels::is_contiguous({nullptr, impl.dtype, impl.shape, impl.strides});
}

Tensor Tensor::contiguous() const {
  if (is_contiguous()) return *this;
  // As an op, so that gradients flow through the copy; multiplying by one keeps every bit.
  if (requires_grad() && is_grad_enabled()) return mul(*this, scalar(1.0, *this));
  border("a copy in row-major order");
  Tensor copy = empty(impl_->type());
  kernels::copy(view_of(*this), copy.impl()->view());
  return copy;
}

uint32_t Tensor::version() const {
  checked(impl_);
  host_view_of(*this);
  return impl_->storage->version.load(std::memory_order_relaxed);
}

const void* Tensor::raw_data(DType dtype) const {
  check_dtype(checked(impl_), dtype);
  return host_view_of(*this).data;
}

void* Tensor::mutable_raw_data(DType dtype) {
  check_dtype(checked(impl_), dtype);
  const kernels::View view = writable_view_of(*impl_, "a writable pointer was taken");
  impl_->storage->written_unseen.store(true, std::memory_order_relaxed);
  return view.data;
}

double Tensor::item() const {
  if (element_count() != 1) throw UserError("item: " + to_string(impl_->type()) + " has not exactly one element");
  const kernels::View view = host_view_of(*this);
  switch (view.dtype) {
    case DType::f32: return *view.as<float>();
    case DType::f64: return *view.as<double>();
    case DType::i64: return static_cast<double>(*view.as<int64_t>());
    case DType::i32: return *view.as<int32_t>();
    case DType::boolean: return *view.as<uint8_t>();
  }
  return 0;
}

void Tensor::copy_to(void* destination, DType dtype) const {
  check_dtype(checked(impl_), dtype);
  TensorImpl dense;
  dense.shape = shape();
  dense.set_contiguous_strides();
  kernels::copy(host_view_of(*this), {destination, dtype, dense.shape, dense.strides});
}

// --- gradients

bool Tensor::requires_grad() const {
  TensorImpl& impl = checked(impl_);
  refresh_history(impl);
  return impl.requires_grad;
}

Tensor& Tensor::set_requires_grad(bool value) {
  TensorImpl& impl = checked(impl_);
  border("requires_grad was changed");
  materialize(impl);
  refresh_history(impl);
  if (impl.producer) throw UserError("set_requires_grad: the tensor was made by a recorded op; detach() it first");
  if (value && !is_floating(impl.dtype))
    throw UserError(fmt::format("set_requires_grad: {} has no gradients; f32 and f64 do", name(impl.dtype)));
  impl.requires_grad = value;
  impl.origin = {};  // a leaf, of whatever elements
  return *this;
}

Tensor Tensor::grad() const { return checked(impl_).gradient; }

void Tensor::set_grad(const Tensor& gradient) {
  TensorImpl& impl = checked(impl_);
  if (gradient && gradient.impl()->type() != impl.type())
    throw UserError(fmt::format("set_grad: {} is not of the type {}", to_string(gradient.impl()->type()),
                                to_string(impl.type())));
  effect("a gradient is set");
  impl.gradient = gradient;
}

void Tensor::clear_grad() {
  effect("a gradient is dropped");
  checked(impl_).gradient = {};
}

Tensor Tensor::detach() const { return calque::detach(*this); }

// --- factories

template <class T>
Tensor from_span(std::span<const T> values, const Shape& shape) {
  if (static_cast<int64_t>(values.size()) != shape.element_count())
    throw UserError(fmt::format("from_span: {} values for shape {}", values.size(), to_string(shape)));
  Tensor tensor = empty({dtype_of<T>, shape});
  std::copy(values.begin(), values.end(), tensor.impl()->view().template as<T>());
  return tensor;
}
// Instances do not take the visibility of the header.
template __attribute__((visibility("default"))) Tensor from_span(std::span<const float>, const Shape&);
template __attribute__((visibility("default"))) Tensor from_span(std::span<const double>, const Shape&);
template __attribute__((visibility("default"))) Tensor from_span(std::span<const int64_t>, const Shape&);
template __attribute__((visibility("default"))) Tensor from_span(std::span<const int32_t>, const Shape&);
template __attribute__((visibility("default"))) Tensor from_span(std::span<const bool>, const Shape&);

Tensor zeros(const Shape& shape, DType dtype) { return full(shape, 0.0, dtype); }
Tensor ones(const Shape& shape, DType dtype) { return full(shape, 1.0, dtype); }

}  // namespace calque
