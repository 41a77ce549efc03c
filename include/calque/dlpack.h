/* DLPack, the plain-C structs in which array libraries hand each other memory (dlpack.github.io), of version 1.1, and
 * tensors in and out of them.
 *
 * The structs are declared here because the layout is the standard and no library is behind it. Where DLPack's own header
 * was included before, its declarations are used; it may not be included after this one (it will declare nothing). */
#ifndef CALQUE_DLPACK_H
#define CALQUE_DLPACK_H

#ifndef DLPACK_DLPACK_H_
#define DLPACK_DLPACK_H_

#include <stdint.h>

#define DLPACK_MAJOR_VERSION 1
#define DLPACK_MINOR_VERSION 1
#define DLPACK_FLAG_BITMASK_READ_ONLY (1UL << 0UL)
#define DLPACK_FLAG_BITMASK_IS_COPIED (1UL << 1UL)

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
  uint32_t major; /* another one means another layout: only the deleter may be called then */
  uint32_t minor;
} DLPackVersion;

typedef enum { kDLCPU = 1, kDLCUDA = 2, kDLCUDAHost = 3 } DLDeviceType;

typedef struct {
  DLDeviceType device_type;
  int32_t device_id;
} DLDevice;

typedef enum { kDLInt = 0U, kDLUInt = 1U, kDLFloat = 2U, kDLOpaqueHandle = 3U, kDLBfloat = 4U, kDLComplex = 5U, kDLBool = 6U } DLDataTypeCode;

typedef struct {
  uint8_t code; /* a DLDataTypeCode */
  uint8_t bits;
  uint16_t lanes;
} DLDataType;

typedef struct {
  void* data;
  DLDevice device;
  int32_t ndim;
  DLDataType dtype;
  int64_t* shape;
  int64_t* strides;     /* in elements; null: row-major */
  uint64_t byte_offset; /* from data to the first element */
} DLTensor;

typedef struct DLManagedTensor {
  DLTensor dl_tensor;
  void* manager_ctx;
  void (*deleter)(struct DLManagedTensor* self); /* may be null */
} DLManagedTensor;

typedef struct DLManagedTensorVersioned {
  DLPackVersion version;
  void* manager_ctx;
  void (*deleter)(struct DLManagedTensorVersioned* self); /* may be null */
  uint64_t flags;
  DLTensor dl_tensor;
} DLManagedTensorVersioned;

#ifdef __cplusplus
}
#endif
#endif /* DLPACK_DLPACK_H_ */

#ifdef __cplusplus

#include "calque/tensor.h"

#pragma GCC visibility push(default)

namespace calque {

/// A tensor on the lender's memory, without a copy; the deleter is called once, when the last tensor on that memory is gone.
/// The lender may go on writing to it: eager ops see what is there when they run, and a compiled function copies the
/// elements at the moment at which an op reads them. Memory that is marked read-only is copied at once, and given back.
///
/// Throws UserError, and leaves `managed` to the caller, unless it is in CPU memory, of a dtype that Calque has, of rank up to
/// 6, with strides that are not negative, aligned to its elements, and of major version 1.
Tensor from_dlpack(DLManagedTensorVersioned* managed);
Tensor from_dlpack(DLManagedTensor* managed);

/// The tensor's elements (made first, where a compiled function has them pending) for another library, which calls the deleter
/// when it is done, in any thread. Nothing is copied: writes are seen on both sides, and from
/// now on the memory is treated as that of a lender (see from_dlpack). Throws UserError for a tensor that requires grad: detach()
/// it first.
DLManagedTensorVersioned* to_dlpack(const Tensor& tensor);
/// The same in the struct of DLPack before 1.0, for libraries that know no other.
DLManagedTensor* to_dlpack_unversioned(const Tensor& tensor);

}  // namespace calque

#pragma GCC visibility pop

#endif
#endif
