// Files of tensors: reading that trusts nothing, and writing that makes a file appear whole or not at all.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <string>

#include "calque/tensor.h"

namespace calque {

/// A file descriptor that closes itself.
class File {
 public:
  File(const std::string& path, int flags, mode_t mode = 0);
  ~File();
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  bool is_open() const { return descriptor_ >= 0; }
  /// Size in bytes; throws UserError when it is not a plain file.
  uint64_t size() const;
  /// False when the file ends before, or the disk fails.
  bool read(void* destination, size_t bytes);
  bool write(const void* source, size_t bytes);
  bool sync();

 private:
  int descriptor_;
};

/// Opens for reading; throws UserError when that fails. Faults that `read` reports as UserError get the path and `kind` in front:
/// "x.npy is not a usable npy file: ...".
void read_file(const std::string& path, const char* kind, const std::function<void(File&)>& read);

/// Writes beside `path` under another name, syncs and renames, so that readers see the old file or the new one, whole. `write`
/// returns false when the disk refused. Throws EnvironmentError, and leaves nothing behind.
void write_file_whole(const std::string& path, const std::function<bool(File&)>& write);

/// Reads the elements of a new tensor; throws UserError when the file ends before, or a bool is neither 0 nor 1.
Tensor read_elements(File& file, const Type& type);
/// Elements in row-major order.
bool write_elements(File& file, const Tensor& dense);

}  // namespace calque
