// Reading and writing safetensors files: lengths, bytes, and a rename that makes a file appear whole.
#include "calque/nn/safetensors.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>

#include "nn/safetensors_header.h"

namespace calque {

static_assert(std::endian::native == std::endian::little, "the format is little-endian");

namespace {

/// A file descriptor that closes itself.
class File {
 public:
  File(const std::string& path, int flags, mode_t mode = 0)
      : descriptor_(open(path.c_str(), flags | O_CLOEXEC, mode)) {}
  ~File() {
    if (descriptor_ >= 0) close(descriptor_);
  }
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  bool is_open() const { return descriptor_ >= 0; }
  int descriptor() const { return descriptor_; }
  /// False when the file ends before, or the disk fails.
  bool read(void* destination, size_t bytes) {
    return transfer(static_cast<char*>(destination), bytes,
                    [](int d, char* p, size_t n) { return ::read(d, p, n); });
  }
  bool write(const void* source, size_t bytes) {
    return transfer(static_cast<const char*>(source), bytes,
                    [](int d, const char* p, size_t n) { return ::write(d, p, n); });
  }

 private:
  template <class Byte, class Move>
  bool transfer(Byte* at, size_t bytes, Move move) {
    while (bytes > 0) {
      const ssize_t moved = move(descriptor_, at, std::min(bytes, size_t{1} << 30));
      if (moved < 0 && errno == EINTR) continue;
      if (moved <= 0) return false;
      at += moved;
      bytes -= static_cast<size_t>(moved);
    }
    return true;
  }

  int descriptor_;
};

template <class Function>
auto with_element_type(DType dtype, Function&& function) {
  switch (dtype) {
    case DType::f32:
      return function(float{});
    case DType::f64:
      return function(double{});
    case DType::i64:
      return function(int64_t{});
    case DType::i32:
      return function(int32_t{});
    case DType::boolean:
      return function(bool{});
  }
  throw InternalError("safetensors: an unknown dtype");
}

uint64_t bytes_of(const Tensor& tensor) {
  return static_cast<uint64_t>(tensor.element_count()) * size_of(tensor.dtype());
}

const void* bytes_to_write(const Tensor& dense) {
  return with_element_type(dense.dtype(),
                           [&](auto element) -> const void* { return dense.data<decltype(element)>(); });
}

Tensor read_tensor(File& file, const safetensors::Entry& entry) {
  Tensor tensor = zeros(entry.type.shape, entry.type.dtype);
  void* bytes = with_element_type(
      entry.type.dtype, [&](auto element) -> void* { return tensor.mutable_data<decltype(element)>(); });
  if (!file.read(bytes, entry.end - entry.begin)) throw UserError("it ends before its tensors do");
  const auto* first = static_cast<const uint8_t*>(bytes);
  if (entry.type.dtype == DType::boolean &&
      std::any_of(first, first + tensor.element_count(), [](uint8_t byte) { return byte > 1; }))
    throw UserError("a BOOL in it is neither 0 nor 1");
  // A copy that nobody has a writable pointer to: compiled code may keep it packed.
  return with_element_type(entry.type.dtype, [&](auto element) {
    using Element = decltype(element);
    return from_span(std::span(tensor.data<Element>(), static_cast<size_t>(tensor.element_count())), tensor.shape());
  });
}

SafetensorsFile read_file(File& file) {
  struct stat status {};
  if (fstat(file.descriptor(), &status) != 0 || !S_ISREG(status.st_mode))
    throw UserError("it is not a plain file");
  const auto file_bytes = static_cast<uint64_t>(status.st_size);
  uint64_t header_bytes = 0;
  if (file_bytes < 8 || !file.read(&header_bytes, 8))
    throw UserError("it is shorter than the 8 bytes of a header's length");
  if (header_bytes > safetensors::kMaxHeaderBytes) throw UserError("its header claims more than 100 MB");
  if (header_bytes > file_bytes - 8) throw UserError("its header claims more bytes than the file has");
  std::string text(header_bytes, '\0');
  if (!file.read(text.data(), text.size())) throw UserError("it ends within its header");
  safetensors::Header header = safetensors::parse_header(text, file_bytes - 8 - header_bytes);
  SafetensorsFile result;
  for (const safetensors::Entry& entry : header.entries)
    result.tensors.emplace_back(entry.name, read_tensor(file, entry));
  result.metadata = std::move(header.metadata);
  return result;
}

bool write_all(File& file, const std::string& header, const NamedTensors& tensors) {
  const uint64_t length = header.size();
  if (!file.write(&length, 8) || !file.write(header.data(), header.size())) return false;
  for (const auto& [name, tensor] : tensors)
    if (!file.write(bytes_to_write(tensor), bytes_of(tensor))) return false;
  return fsync(file.descriptor()) == 0;
}

/// The folder's entry for the new name reaches the disk, too; a file system that cannot sync folders is no
/// failure.
void sync_folder_of(const std::string& path) {
  const size_t slash = path.rfind('/');
  File folder(slash == std::string::npos ? "." : path.substr(0, slash + 1), O_RDONLY | O_DIRECTORY);
  if (folder.is_open()) fsync(folder.descriptor());
}

}  // namespace

void save_safetensors(const std::string& path, const NamedTensors& tensors,
                      const std::map<std::string, std::string>& metadata) {
  NamedTensors dense;
  for (const auto& [name, tensor] : tensors) dense.emplace_back(name, tensor.contiguous());
  std::string header;
  try {
    header = safetensors::format_header(dense, metadata);
  } catch (const UserError& error) {
    throw UserError("cannot save " + path + ": " + error.what());
  }
  const std::string temporary = path + "." + std::to_string(getpid()) + ".tmp";
  const auto fail = [&](int code) {
    unlink(temporary.c_str());
    throw EnvironmentError("cannot write " + path + ": " + std::strerror(code));
  };
  {
    File file(temporary, O_WRONLY | O_CREAT | O_TRUNC, 0666);
    if (!file.is_open()) throw EnvironmentError("cannot write " + path + ": " + std::strerror(errno));
    if (!write_all(file, header, dense)) fail(errno);
  }
  if (rename(temporary.c_str(), path.c_str()) != 0) fail(errno);
  sync_folder_of(path);
}

SafetensorsFile load_safetensors(const std::string& path) {
  File file(path, O_RDONLY);
  if (!file.is_open()) throw UserError("cannot open " + path + ": " + std::strerror(errno));
  try {
    return read_file(file);
  } catch (const UserError& error) {
    throw UserError(path + " is not a usable safetensors file: " + error.what());
  }
}

}  // namespace calque
