// Generated machine code in memory: a flat image, checked, mapped read-only and executable.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

#include "calque/kernel_abi.h"

namespace calque {

/// Checks every field of the header and the entries of an image (see calque/kernel_abi.h): afterwards all offsets lie inside.
/// Throws EnvironmentError.
void check_image(std::span<const std::byte> bytes);

class ExecutableImage {
 public:
  /// An image without kernels.
  ExecutableImage() = default;
  /// Checks the image, copies it to fresh memory and makes that executable; it is never writable and executable at once. The bytes may come from
  /// anywhere, but whoever passes well-formed ones runs their code. Throws EnvironmentError.
  static ExecutableImage from_bytes(std::span<const std::byte> bytes);

  ExecutableImage(ExecutableImage&& other) noexcept
      : base_(std::exchange(other.base_, nullptr)), bytes_(std::exchange(other.bytes_, 0)) {}
  ExecutableImage& operator=(ExecutableImage&& other) noexcept {
    std::swap(base_, other.base_);
    std::swap(bytes_, other.bytes_);
    return *this;
  }
  ~ExecutableImage();

  size_t kernel_count() const { return base_ ? header().kernel_count : 0; }
  /// Kernel i < kernel_count(); valid as long as the image lives.
  calque_kernel kernel(size_t i) const {
    return reinterpret_cast<calque_kernel>(base_ + entry(i).code_offset);
  }
  uint64_t scratch_bytes(size_t i) const { return entry(i).scratch_bytes; }
  /// The image as it was given.
  std::span<const std::byte> bytes() const { return {base_, bytes_}; }
  int64_t part_columns(size_t i) const { return static_cast<int64_t>(entry(i).part_columns); }
  bool takes_any_columns(size_t i) const { return entry(i).any_columns != 0; }

 private:
  const calque_image_header& header() const { return *reinterpret_cast<const calque_image_header*>(base_); }
  const calque_image_entry& entry(size_t i) const {
    return reinterpret_cast<const calque_image_entry*>(base_ + sizeof(calque_image_header))[i];
  }

  std::byte* base_ = nullptr;
  size_t bytes_ = 0;
};

}  // namespace calque
