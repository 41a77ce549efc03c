// Memory that a kernel needs for itself, and operands brought into row-major order in it.
#pragma once

#include <utility>

#include "runtime/kernels/eager.h"
#include "runtime/pool.h"

namespace calque::kernels {

class Scratch {
 public:
  Scratch() = default;
  explicit Scratch(int64_t bytes) : bytes_(static_cast<size_t>(bytes)), data_(memory::allocate(bytes_)) {}
  ~Scratch() {
    if (data_) memory::free(data_, bytes_);
  }
  Scratch(Scratch&& other) noexcept : bytes_(other.bytes_), data_(other.data_) { other.data_ = nullptr; }
  Scratch& operator=(Scratch&& other) noexcept {
    std::swap(bytes_, other.bytes_);
    std::swap(data_, other.data_);
    return *this;
  }
  char* data() const { return static_cast<char*>(data_); }

 private:
  size_t bytes_ = 0;
  void* data_ = nullptr;
};

/// A row-major view of memory that holds the elements.
View contiguous_view(void* data, DType dtype, const Shape& shape);

/// x itself where it lies in row-major order, else a copy that lives as long as `scratch`.
View contiguous(const View& x, Scratch& scratch);

/// Whether the axes [first, last) are one axis in memory; then `stride` is the step along it.
bool collapse(const View& x, int first, int last, int64_t& stride);

/// Elements of a simple operation that are worth a thread: 3 to 7 microseconds of one core.
inline constexpr int64_t kWorthAThread = 65536;

}  // namespace calque::kernels
