// Reading and writing npy files.
#include "calque/nn/npy.h"

#include <algorithm>
#include <cstring>
#include <string_view>

#include "calque/autograd.h"
#include "calque/ops.h"
#include "nn/file.h"
#include "nn/npy_header.h"
#include "runtime/observer.h"
#include "runtime/tensor_impl.h"

namespace calque {

namespace {

constexpr uint64_t kMaxHeaderBytes = 1 << 20;  // a header of six sizes needs a hundred

/// The head up to the elements; `at` becomes their place in the file.
npy::Header read_head(File& file, uint64_t file_bytes, uint64_t& at) {
  char prefix[8];
  if (file_bytes < 10 || !file.read(prefix, 8) || std::memcmp(prefix, "\x93NUMPY", 6) != 0)
    throw UserError("it does not begin as npy files do");
  const int major = prefix[6];
  if (major < 1 || major > 3) throw UserError("its version is not one of 1.0, 2.0 and 3.0");
  const size_t length_bytes = major == 1 ? 2 : 4;
  uint32_t length = 0;
  if (!file.read(&length, length_bytes)) throw UserError("it ends within its header");
  at = 8 + length_bytes + length;
  if (length > kMaxHeaderBytes || at > file_bytes) throw UserError("its header claims more bytes than the file has, or over 1 MB");
  std::string text(length, '\0');
  if (!file.read(text.data(), text.size())) throw UserError("it ends within its header");
  return npy::parse_header(text);
}

void swap_bytes(const kernels::View& view, size_t element_bytes) {
  auto* at = view.as<char>();
  for (int64_t i = 0; i < view.shape.element_count(); ++i, at += element_bytes) std::reverse(at, at + element_bytes);
}

/// Elements that were read in the order of reversed axes, in row-major order.
Tensor in_row_major_order(const Tensor& reversed) {
  const NoGradGuard guard;
  std::vector<int64_t> axes;
  for (int axis = reversed.rank() - 1; axis >= 0; --axis) axes.push_back(axis);
  return permute(reversed, axes).contiguous();
}

Tensor read_array(File& file) {
  uint64_t at = 0;
  const uint64_t file_bytes = file.size();
  const npy::Header header = read_head(file, file_bytes, at);
  Type type = header.type;
  const size_t element_bytes = size_of(type.dtype);
  if (static_cast<uint64_t>(type.shape.element_count()) != (file_bytes - at) / element_bytes ||
      (file_bytes - at) % element_bytes != 0)
    throw UserError("its shape " + to_string(type) + " asks for another number of bytes than the " +
                    std::to_string(file_bytes - at) + " that follow its header");
  if (header.is_fortran) {
    std::vector<int64_t> reversed(header.type.shape.begin(), header.type.shape.end());
    std::ranges::reverse(reversed);
    type.shape = Shape(std::span<const int64_t>(reversed));
  }
  const Tensor tensor = read_elements(file, type);
  if (header.is_big_endian) swap_bytes(tensor.impl()->view(), element_bytes);
  return header.is_fortran ? in_row_major_order(tensor) : tensor;
}

}  // namespace

void save_npy(const std::string& path, const Tensor& tensor) {
  if (!tensor) throw UserError("save_npy: an empty handle is no tensor");
  const Tensor dense = tensor.detach().contiguous();
  const std::string head = npy::format_head({dense.dtype(), dense.shape()});
  write_file_whole(path, [&](File& file) { return file.write(head.data(), head.size()) && write_elements(file, dense); });
}

Tensor load_npy(const std::string& path) {
  const ObserverPause pause;
  Tensor result;
  read_file(path, "npy", [&](File& file) { result = read_array(file); });
  return result;
}

}  // namespace calque
