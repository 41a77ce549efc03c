// Weights as products read them best, packed once for each version of their elements and shared by all plans.
#pragma once

#include <compare>
#include <cstdint>
#include <memory>

#include "runtime/kernels/isa.h"
#include "runtime/tensor_impl.h"
#include "runtime/try_lock.h"

namespace calque {

/// A matrix in somebody's storage, packed as kernels::pack() does. Which version of its elements that is of may change; packed
/// elements, once kept, do not.
class PackedWeight {
 public:
  struct Matrix {
    Storage* storage;
    int64_t offset;  // elements
    DType dtype;
    int64_t rows, columns, row_stride, column_stride;
    int64_t panel_columns;  // see kernels::ProductSum
    kernels::IsaLevel level;
    auto operator<=>(const Matrix&) const = default;
  };

  /// The one for this matrix, for all who ask while somebody has it. Takes a lock.
  static std::shared_ptr<PackedWeight> of(const Matrix& matrix);
  /// How many there are.
  static size_t count();

  explicit PackedWeight(const Matrix& matrix);
  ~PackedWeight();

  /// Neither waits: where another thread is about to do the same, nothing is found or kept.
  Tensor find(uint32_t version);
  void keep(uint32_t version, const Tensor& packed);

 private:
  const Matrix matrix_;
  const Ref<Storage> storage_;  // so that nothing else comes to lie there
  TryLock lock_;
  uint32_t version_ = 0;
  Tensor packed_;
};

}  // namespace calque
