// Executable images: hand-made machine code runs, broken headers are refused, no page is ever writable and
// executable.
#include <catch2/catch.hpp>

#include <cstring>
#include <fstream>
#include <string>
#include <utility>
#include <vector>

#include "compiler/image.h"
#include "ir/op/error.h"

using calque::EnvironmentError;
using calque::ExecutableImage;

namespace {

constexpr size_t kCodeOffset = 128, kSecondKernel = kCodeOffset + 1;

/// Two kernels: `ret`, and `mov rax, [rdi]; mov [rax], edx; ret`, which writes `begin` to the first buffer.
std::vector<std::byte> two_kernels() {
  std::vector<std::byte> bytes(kCodeOffset);
  for (const int byte : {0xc3, 0x48, 0x8b, 0x07, 0x89, 0x10, 0xc3})
    bytes.push_back(static_cast<std::byte>(byte));
  const calque_image_header header{CALQUE_IMAGE_MAGIC, CALQUE_KERNEL_ABI_VERSION, 2, bytes.size(),
                                   kCodeOffset};
  const calque_image_entry entries[] = {{kCodeOffset, 0, 0, 0}, {kSecondKernel, 4096, 0, 0}};
  static_assert(sizeof(header) + sizeof(entries) <= kCodeOffset);
  std::memcpy(bytes.data(), &header, sizeof(header));
  std::memcpy(bytes.data() + sizeof(header), entries, sizeof(entries));
  return bytes;
}

int32_t run_second(const ExecutableImage& image) {
  int32_t target = 0;
  void* buffers[] = {&target};
  const int64_t strides[] = {0};
  image.kernel(0)(buffers, strides, 7, 8, 0, 0, nullptr);
  image.kernel(1)(buffers, strides, 42, 43, 0, 0, nullptr);
  return target;
}

/// The access rights ("r-xp") of the mapping that holds an address; empty when none does.
std::string rights_at(const void* address) {
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);) {
    unsigned long begin = 0, end = 0;
    char rights[5] = {};
    if (std::sscanf(line.c_str(), "%lx-%lx %4s", &begin, &end, rights) != 3) continue;
    const auto wanted = reinterpret_cast<unsigned long>(address);
    if (wanted >= begin && wanted < end) return rights;
  }
  return "";
}

int writable_and_executable_mappings() {
  std::ifstream maps("/proc/self/maps");
  int count = 0;
  for (std::string line; std::getline(maps, line);) count += line.find(" rwx") != std::string::npos;
  return count;
}

bool is_refused(const std::vector<std::byte>& bytes) {
  try {
    ExecutableImage::from_bytes(bytes);
  } catch (const EnvironmentError&) {
    return true;
  }
  return false;
}

template <class T>
std::vector<std::byte> with(std::vector<std::byte> bytes, size_t offset, T value) {
  std::memcpy(bytes.data() + offset, &value, sizeof(value));
  return bytes;
}

}  // namespace

TEST_CASE("the kernels of an image run") {
  const ExecutableImage image = ExecutableImage::from_bytes(two_kernels());
  REQUIRE(image.kernel_count() == 2);
  CHECK(image.scratch_bytes(0) == 0);
  CHECK(image.scratch_bytes(1) == 4096);
  CHECK(run_second(image) == 42);
}

TEST_CASE("memory of an image is executable and never writable") {
  const int before = writable_and_executable_mappings();
  const ExecutableImage image = ExecutableImage::from_bytes(two_kernels());
  CHECK(rights_at(reinterpret_cast<const void*>(image.kernel(0))) == "r-xp");
  CHECK(writable_and_executable_mappings() == before);
}

TEST_CASE("an image moves, and is unmapped with its owner") {
  const void* code = nullptr;
  {
    ExecutableImage image = ExecutableImage::from_bytes(two_kernels());
    ExecutableImage other = std::move(image);
    CHECK(image.kernel_count() == 0);
    CHECK(run_second(other) == 42);
    image = std::move(other);
    CHECK(run_second(image) == 42);
    code = reinterpret_cast<const void*>(image.kernel(0));
  }
  CHECK(rights_at(code) != "r-xp");
  CHECK(ExecutableImage().kernel_count() == 0);
}

TEST_CASE("an image without kernels is good") {
  std::vector<std::byte> bytes(kCodeOffset);
  const calque_image_header header{CALQUE_IMAGE_MAGIC, CALQUE_KERNEL_ABI_VERSION, 0, bytes.size(),
                                   kCodeOffset};
  std::memcpy(bytes.data(), &header, sizeof(header));
  CHECK(ExecutableImage::from_bytes(bytes).kernel_count() == 0);
}

TEST_CASE("hostile images are refused") {
  const std::vector<std::byte> good = two_kernels();
  const size_t size = good.size(), first = sizeof(calque_image_header);
  REQUIRE_FALSE(is_refused(good));

  for (size_t length = 0; length < size; ++length)
    CHECK(is_refused({good.begin(), good.begin() + static_cast<ptrdiff_t>(length)}));
  CHECK(is_refused(with(good, offsetof(calque_image_header, magic), uint64_t{0})));
  CHECK(is_refused(with(good, offsetof(calque_image_header, abi_version), CALQUE_KERNEL_ABI_VERSION + 1)));
  for (const uint32_t count : {4u, 1000u, 0x7fffffffu, 0xffffffffu})
    CHECK(is_refused(with(good, offsetof(calque_image_header, kernel_count), count)));
  for (const uint64_t bytes : {uint64_t{0}, uint64_t{size - 1}, uint64_t{size + 1}, UINT64_MAX})
    CHECK(is_refused(with(good, offsetof(calque_image_header, image_bytes), bytes)));
  for (const uint64_t offset :
       {uint64_t{0}, uint64_t{63}, uint64_t{64}, uint64_t{65}, uint64_t{2 * kCodeOffset}, UINT64_MAX, UINT64_MAX - 63})
    CHECK(is_refused(with(good, offsetof(calque_image_header, code_offset), offset)));
  for (size_t kernel = 0; kernel < 2; ++kernel) {
    const size_t entry = first + kernel * sizeof(calque_image_entry);
    for (const uint64_t offset : {uint64_t{0}, uint64_t{63}, uint64_t{size}, UINT64_MAX})
      CHECK(is_refused(with(good, entry + offsetof(calque_image_entry, code_offset), offset)));
    CHECK(is_refused(with(good, entry + offsetof(calque_image_entry, scratch_bytes), UINT64_MAX)));
  }
}
