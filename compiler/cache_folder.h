// The folder of the disk cache: who may write there, its files read whole and written whole.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace calque {

/// No entry is larger: a length beyond it is a lie.
inline constexpr uint64_t kMostEntryBytes = uint64_t{256} << 20;

/// A file descriptor that closes itself.
class FileDescriptor {
 public:
  explicit FileDescriptor(int value = -1) : value_(value) {}
  FileDescriptor(FileDescriptor&& other) noexcept : value_(std::exchange(other.value_, -1)) {}
  FileDescriptor& operator=(FileDescriptor&&) = delete;
  ~FileDescriptor();
  int get() const { return value_; }
  bool is_open() const { return value_ >= 0; }

 private:
  int value_;
};

/// Writes all bytes. Gives what went wrong, or an empty text.
std::string write_bytes(int file, std::string_view bytes);

struct FolderFile {
  std::string name;
  uint64_t bytes;
  int64_t modified;  // seconds since 1970
};

/// Sorts them: the one not used for longest first.
void oldest_first(std::vector<FolderFile>& files);

/// An open folder that only this user may write. All files are opened relative to it, so that it cannot be
/// exchanged in between.
class CacheFolder {
 public:
  /// is_open() is false where there is no such folder. Throws EnvironmentError where it is a symbolic link,
  /// belongs to somebody else, or may be written by others.
  static CacheFolder open(const std::string& path);
  /// The same, after making the folder (for this user alone) where there is none.
  static CacheFolder open_or_create(const std::string& path);

  bool is_open() const { return folder_.is_open(); }

  /// Reads a whole file of this user's and marks it as used. Gives what is wrong with it, or an empty text;
  /// `is_missing` says that there is no such file.
  std::string read(const std::string& name, std::string& bytes, bool& is_missing) const;
  /// Writes under a temporary name, syncs and renames: readers see the old file or the new one, whole. Gives
  /// what went wrong, or an empty text; nothing is left then.
  std::string write(const std::string& name, std::string_view bytes) const;
  /// Gives 0 or an error number.
  int remove(const std::string& name) const;
  /// Whatever has such a name, in no order.
  std::vector<FolderFile> files(const std::function<bool(std::string_view)>& is_wanted) const;
  /// The same; removes the temporary files of writers that are gone, those of living ones stay.
  std::vector<FolderFile> files_and_no_left_over(const std::function<bool(std::string_view)>& is_wanted) const;

 private:
  explicit CacheFolder(int descriptor) : folder_(descriptor) {}

  FileDescriptor folder_;
};

}  // namespace calque
