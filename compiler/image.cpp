// Checks images and makes them executable.
#include "compiler/image.h"

#include <fmt/format.h>
#include <sys/mman.h>

#include <cerrno>
#include <cstring>

#include "ir/op/error.h"

namespace calque {

namespace {

constexpr uint64_t kCodeAlignment = 64;
constexpr uint64_t kMostScratchBytes = uint64_t{1} << 32;  // more than any kernel's row of values needs

void require(bool holds, const char* rule) {
  if (!holds) throw EnvironmentError(fmt::format("a compiled image is broken: {}", rule));
}

template <class T>
T read_at(std::span<const std::byte> bytes, size_t offset) {
  T value;
  std::memcpy(&value, bytes.data() + offset, sizeof(T));
  return value;
}

}  // namespace

void check_image(std::span<const std::byte> bytes) {
  require(bytes.size() >= sizeof(calque_image_header), "it is shorter than its header");
  const auto header = read_at<calque_image_header>(bytes, 0);
  require(header.magic == CALQUE_IMAGE_MAGIC, "it does not begin as one");
  require(header.abi_version == CALQUE_KERNEL_ABI_VERSION, "it is of another version");
  require(header.image_bytes == bytes.size(), "its size is not what its header says");
  const size_t room = (bytes.size() - sizeof(calque_image_header)) / sizeof(calque_image_entry);
  require(header.kernel_count <= room, "it holds fewer kernels than its header says");
  const size_t entries_end = sizeof(calque_image_header) + header.kernel_count * sizeof(calque_image_entry);
  require(header.code_offset % kCodeAlignment == 0, "its code is not aligned");
  require(header.code_offset >= entries_end && header.code_offset <= bytes.size(), "its code lies outside");
  for (size_t i = 0; i < header.kernel_count; ++i) {
    const auto entry =
        read_at<calque_image_entry>(bytes, sizeof(calque_image_header) + i * sizeof(calque_image_entry));
    require(entry.code_offset >= header.code_offset && entry.code_offset < bytes.size(),
            "a kernel lies outside");
    require(entry.scratch_bytes <= kMostScratchBytes, "a kernel asks for absurdly much scratch memory");
    require(entry.any_columns <= 1, "a kernel takes neither its own nor any number of columns");
  }
}

ExecutableImage ExecutableImage::from_bytes(std::span<const std::byte> bytes) {
  check_image(bytes);
  void* memory = mmap(nullptr, bytes.size(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED)
    throw EnvironmentError(fmt::format("no memory for compiled code: {}", std::strerror(errno)));
  ExecutableImage image;
  image.base_ = static_cast<std::byte*>(memory);
  image.bytes_ = bytes.size();
  std::memcpy(memory, bytes.data(), bytes.size());
  if (mprotect(memory, bytes.size(), PROT_READ | PROT_EXEC) != 0)
    throw EnvironmentError(
        fmt::format("this system does not let memory become executable: {}", std::strerror(errno)));
  return image;
}

ExecutableImage::~ExecutableImage() {
  if (base_) munmap(base_, bytes_);
}

}  // namespace calque
