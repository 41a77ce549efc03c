// Lengths, bytes, and a rename.
#include "nn/file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>
#include <type_traits>

#include "runtime/tensor_impl.h"

namespace calque {

static_assert(std::endian::native == std::endian::little, "the files are little-endian");

namespace {

template <class Byte, class Move>
bool transfer(Byte* at, size_t bytes, Move move) {
  while (bytes > 0) {
    const ssize_t moved = move(at, std::min(bytes, size_t{1} << 30));
    if (moved < 0 && errno == EINTR) continue;
    if (moved <= 0) return false;
    at += moved;
    bytes -= static_cast<size_t>(moved);
  }
  return true;
}

size_t bytes_of(const Type& type) { return static_cast<size_t>(type.shape.element_count()) * size_of(type.dtype); }

/// The folder's entry for the new name reaches the disk, too; a file system that cannot sync folders is no failure.
void sync_folder_of(const std::string& path) {
  const size_t slash = path.rfind('/');
  File folder(slash == std::string::npos ? "." : path.substr(0, slash + 1), O_RDONLY | O_DIRECTORY);
  if (folder.is_open()) folder.sync();
}

}  // namespace

File::File(const std::string& path, int flags, mode_t mode) : descriptor_(open(path.c_str(), flags | O_CLOEXEC, mode)) {}

File::~File() {
  if (descriptor_ >= 0) close(descriptor_);
}

uint64_t File::size() const {
  struct stat status {};
  if (fstat(descriptor_, &status) != 0 || !S_ISREG(status.st_mode)) throw UserError("it is not a plain file");
  return static_cast<uint64_t>(status.st_size);
}

bool File::read(void* destination, size_t bytes) {
  return transfer(static_cast<char*>(destination), bytes, [this](char* p, size_t n) { return ::read(descriptor_, p, n); });
}

bool File::write(const void* source, size_t bytes) {
  return transfer(static_cast<const char*>(source), bytes,
                  [this](const char* p, size_t n) { return ::write(descriptor_, p, n); });
}

bool File::sync() { return fsync(descriptor_) == 0; }

void read_file(const std::string& path, const char* kind, const std::function<void(File&)>& read) {
  File file(path, O_RDONLY | O_NONBLOCK);  // a pipe is refused, not waited for
  if (!file.is_open()) throw UserError("cannot open " + path + ": " + std::strerror(errno));
  try {
    read(file);
  } catch (const UserError& error) {
    throw UserError(path + " is not a usable " + kind + " file: " + error.what());
  }
}

void write_file_whole(const std::string& path, const std::function<bool(File&)>& write) {
  const std::string temporary = path + "." + std::to_string(getpid()) + ".tmp";
  const auto fail = [&](int code) {
    unlink(temporary.c_str());
    throw EnvironmentError("cannot write " + path + ": " + std::strerror(code));
  };
  {
    File file(temporary, O_WRONLY | O_CREAT | O_TRUNC, 0666);
    if (!file.is_open()) throw EnvironmentError("cannot write " + path + ": " + std::strerror(errno));
    if (!write(file) || !file.sync()) fail(errno);
  }
  if (rename(temporary.c_str(), path.c_str()) != 0) fail(errno);
  sync_folder_of(path);
}

Tensor read_elements(File& file, const Type& type) {
  Tensor tensor = empty(type);
  const kernels::View view = tensor.impl()->view();
  if (!file.read(view.data, bytes_of(type))) throw UserError("it ends before its elements do");
  const auto* first = view.as<uint8_t>();
  if (type.dtype == DType::boolean &&
      std::any_of(first, first + type.shape.element_count(), [](uint8_t byte) { return byte > 1; }))
    throw UserError("a BOOL in it is neither 0 nor 1");
  return tensor;
}

bool write_elements(File& file, const Tensor& dense) {
  const kernels::View view = host_view_of(dense);
  return file.write(view.data, bytes_of(dense.impl()->type()));
}

}  // namespace calque
