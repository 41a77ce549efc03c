// Files of the cache's folder. A writer holds a lock on its temporary file, which the kernel drops when the
// writer dies, however that comes: so whoever gets the lock knows that the file has no writer.
#include "compiler/cache_folder.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <tuple>

#include "ir/op/error.h"

namespace calque {

namespace {

constexpr int64_t kSecondsBetweenMarks = 60 * 60;  // a use is noted to this precision, which spares writes
constexpr int64_t kLeftOverSeconds =
    60 * 60;  // where there are no locks, a temporary file this old has no writer
constexpr std::string_view kTemporaryPrefix = ".calque-new-";
constexpr int kMostAttempts = 16;

std::string reason(int error) { return std::strerror(error); }

/// Belongs to this user, and nobody else may write.
bool is_private(const struct stat& status) {
  return status.st_uid == geteuid() && (status.st_mode & (S_IWGRP | S_IWOTH)) == 0;
}

EnvironmentError refusal(const std::string& path, const std::string& why) {
  return EnvironmentError(fmt::format("the cache folder {} is not used: {}", path, why));
}

/// No other thread or process uses the name at the same time.
std::string temporary_name() {
  static std::atomic<uint64_t> counter{0};
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return fmt::format("{}{}-{}-{}{:09}", kTemporaryPrefix, getpid(), counter.fetch_add(1), now.tv_sec,
                     now.tv_nsec);
}

bool is_temporary(std::string_view name) { return name.starts_with(kTemporaryPrefix); }

/// Whether the file still has its name: somebody who took it for a left-over may have been quicker with the
/// lock.
bool has_name(int file) {
  struct stat status {};
  return fstat(file, &status) == 0 && status.st_nlink > 0;
}

/// A new file under a temporary name, locked where the file system has locks. Not open when that fails: see
/// errno.
FileDescriptor create_locked(int folder, std::string& name) {
  for (int attempt = 0; attempt < kMostAttempts; ++attempt) {
    name = temporary_name();
    FileDescriptor file(::openat(folder, name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
                                 S_IRUSR | S_IWUSR));
    if (!file.is_open()) return file;
    const bool is_taken = flock(file.get(), LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK;
    if (!is_taken && has_name(file.get())) return file;
  }
  errno = EAGAIN;
  return FileDescriptor();
}

/// Gives what went wrong, or an empty text.
std::string write_and_sync(int file, std::string_view bytes) {
  const std::string fault = write_bytes(file, bytes);
  return !fault.empty() || fsync(file) == 0 ? fault : reason(errno);
}

/// Removes the temporary file if nobody writes it any more, under its lock: a writer that is about to take
/// the lock then sees that its file is gone.
void remove_if_left_over(int folder, const FolderFile& file) {
  const FileDescriptor opened(
      ::openat(folder, file.name.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  const bool is_locked = opened.is_open() && flock(opened.get(), LOCK_EX | LOCK_NB) == 0;
  const bool has_writer = !is_locked && errno == EWOULDBLOCK;
  const bool is_old = file.modified < std::time(nullptr) - kLeftOverSeconds;
  if (is_locked || (!has_writer && is_old)) unlinkat(folder, file.name.c_str(), 0);
}

}  // namespace

FileDescriptor::~FileDescriptor() {
  if (value_ >= 0) ::close(value_);
}

std::string write_bytes(int file, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t count = ::write(file, bytes.data(), bytes.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return reason(errno);
    bytes.remove_prefix(static_cast<size_t>(count));
  }
  return "";
}

CacheFolder CacheFolder::open(const std::string& path) {
  CacheFolder result(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!result.is_open()) {
    if (errno == ENOENT) return result;
    const int error = errno;
    std::error_code ignored;
    const bool is_link = error == ELOOP || (error == ENOTDIR && std::filesystem::is_symlink(path, ignored));
    throw refusal(path, is_link ? "it is a symbolic link" : reason(error));
  }
  struct stat status {};
  if (fstat(result.folder_.get(), &status) != 0) throw refusal(path, reason(errno));
  if (!is_private(status))
    throw refusal(path, "it must belong to you and be writable by nobody else (`chmod go-w` it)");
  return result;
}

CacheFolder CacheFolder::open_or_create(const std::string& path) {
  CacheFolder folder = open(path);
  if (folder.is_open()) return folder;
  std::error_code ignored;
  std::filesystem::create_directories(std::filesystem::path(path).parent_path(), ignored);
  const int error = ::mkdir(path.c_str(), S_IRWXU) == 0 || errno == EEXIST ? 0 : errno;
  if (error != 0) throw refusal(path, fmt::format("it cannot be made: {}", reason(error)));
  return open(path);
}

std::string CacheFolder::read(const std::string& name, std::string& bytes, bool& is_missing) const {
  // Without O_NONBLOCK a named pipe would block.
  const FileDescriptor file(
      ::openat(folder_.get(), name.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  is_missing = !file.is_open() && errno == ENOENT;
  if (!file.is_open()) return reason(errno);
  struct stat status {};
  if (fstat(file.get(), &status) != 0) return reason(errno);
  if (!S_ISREG(status.st_mode)) return "it is not a file";
  if (!is_private(status)) return "it does not belong to you, or others may write it";
  if (static_cast<uint64_t>(status.st_size) > kMostEntryBytes) return "it is absurdly large";
  bytes.resize(static_cast<size_t>(status.st_size));
  size_t done = 0;
  while (done < bytes.size()) {
    const ssize_t count = ::read(file.get(), bytes.data() + done, bytes.size() - done);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return reason(errno);
    if (count == 0) break;
    done += static_cast<size_t>(count);
  }
  bytes.resize(done);
  if (status.st_mtime < std::time(nullptr) - kSecondsBetweenMarks) futimens(file.get(), nullptr);
  return "";
}

std::string CacheFolder::write(const std::string& name, std::string_view bytes) const {
  std::string temporary;
  const FileDescriptor file = create_locked(folder_.get(), temporary);
  if (!file.is_open()) return reason(errno);
  std::string fault = write_and_sync(file.get(), bytes);
  if (fault.empty() && renameat(folder_.get(), temporary.c_str(), folder_.get(), name.c_str()) != 0 &&
      errno != ENOENT)  // the folder was emptied meanwhile: whoever did that wants it so
    fault = reason(errno);
  if (!fault.empty()) remove(temporary);
  return fault;
}

int CacheFolder::remove(const std::string& name) const {
  return unlinkat(folder_.get(), name.c_str(), 0) == 0 ? 0 : errno;
}

std::vector<FolderFile> CacheFolder::files(const std::function<bool(std::string_view)>& is_wanted) const {
  std::vector<FolderFile> files;
  const int copy = ::openat(folder_.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);  // closed by closedir
  DIR* stream = copy >= 0 ? fdopendir(copy) : nullptr;
  if (!stream) {
    if (copy >= 0) ::close(copy);
    return files;
  }
  while (const dirent* entry = readdir(stream)) {
    struct stat status {};
    if (!is_wanted(entry->d_name) || fstatat(folder_.get(), entry->d_name, &status, AT_SYMLINK_NOFOLLOW) != 0)
      continue;
    files.push_back({entry->d_name, static_cast<uint64_t>(status.st_size), status.st_mtime});
  }
  closedir(stream);
  return files;
}

std::vector<FolderFile> CacheFolder::files_and_no_left_over(const std::function<bool(std::string_view)>& is_wanted) const {
  std::vector<FolderFile> found = files([&](std::string_view name) { return is_temporary(name) || is_wanted(name); });
  std::erase_if(found, [&](const FolderFile& file) {
    if (!is_temporary(file.name)) return false;
    remove_if_left_over(folder_.get(), file);
    return true;
  });
  return found;
}

void oldest_first(std::vector<FolderFile>& files) {
  std::ranges::sort(files, {}, [](const FolderFile& file) { return std::tie(file.modified, file.name); });
}

}  // namespace calque
