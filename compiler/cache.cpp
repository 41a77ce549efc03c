// The folder of the disk cache: who may write there, reading, writing, the bound on its size.
#include "compiler/cache.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <functional>

#include "compiler/cache_entry.h"
#include "compiler/log.h"
#include "ir/op/error.h"

namespace calque {

namespace {

constexpr uint64_t kMostEntryBytes = uint64_t{256} << 20;
constexpr int64_t kSecondsPerDay = 24 * 60 * 60;
constexpr int64_t kLeftOverSeconds = 60 * 60;  // a temporary file this old has no writer any more
constexpr std::string_view kTemporaryPrefix = ".new-";

class FileDescriptor {
 public:
  explicit FileDescriptor(int value = -1) : value_(value) {}
  FileDescriptor(FileDescriptor&& other) noexcept : value_(std::exchange(other.value_, -1)) {}
  FileDescriptor& operator=(FileDescriptor&&) = delete;
  ~FileDescriptor() {
    if (value_ >= 0) ::close(value_);
  }
  int get() const { return value_; }
  bool is_open() const { return value_ >= 0; }
  /// Closes, and says whether all that was written arrived.
  bool close() { return ::close(std::exchange(value_, -1)) == 0; }

 private:
  int value_;
};

std::string reason(int error) { return std::strerror(error); }

/// Belongs to this user, and nobody else may write.
bool is_private(const struct stat& status) {
  return status.st_uid == geteuid() && (status.st_mode & (S_IWGRP | S_IWOTH)) == 0;
}

/// A slash at the end would let open() follow a symbolic link, and a relative path would change with the
/// working folder.
std::string without_pitfalls(const std::string& path) {
  if (path.empty()) return path;
  std::error_code error;
  std::string result = std::filesystem::absolute(path, error).string();
  while (result.size() > 1 && (result.ends_with('/') || result.ends_with("/."))) result.pop_back();
  return error ? "" : result;
}

/// Opens the folder if it may be trusted. Not open and no exception: there is none. All files are then opened
/// relative to it, so it cannot be exchanged in between.
FileDescriptor open_folder(const std::string& path) {
  FileDescriptor folder(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!folder.is_open()) {
    if (errno == ENOENT) return folder;
    const bool is_link = errno == ELOOP || (errno == ENOTDIR && std::filesystem::is_symlink(path));
    throw EnvironmentError(fmt::format("the cache folder {} is not used: {}", path,
                                       is_link ? "it is a symbolic link" : reason(errno)));
  }
  struct stat status {};
  if (fstat(folder.get(), &status) != 0)
    throw EnvironmentError(fmt::format("the cache folder {} is not used: {}", path, reason(errno)));
  if (!is_private(status))
    throw EnvironmentError(
        fmt::format("the cache folder {} is not used: it must belong to you and be writable by nobody else "
                    "(`chmod go-w` it)",
                    path));
  return folder;
}

FileDescriptor open_or_create_folder(const std::string& path) {
  FileDescriptor folder = open_folder(path);
  if (folder.is_open()) return folder;
  std::error_code ignored;  // what went wrong shows when the folder is opened
  std::filesystem::create_directories(std::filesystem::path(path).parent_path(), ignored);
  ::mkdir(path.c_str(), S_IRWXU);
  return open_folder(path);
}

/// Reads a whole entry. Gives what is wrong with the file, or an empty text.
std::string read_file(int folder, const char* name, std::string& bytes, bool& is_missing) {
  // Without O_NONBLOCK a named pipe would block.
  const FileDescriptor file(::openat(folder, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
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
  // Entries in use count as young; a day's precision spares the write.
  if (status.st_mtime < std::time(nullptr) - kSecondsPerDay) futimens(file.get(), nullptr);
  return "";
}

/// Writes a new file and syncs it. Gives what went wrong, or an empty text.
std::string write_file(int folder, const char* name, std::string_view bytes) {
  FileDescriptor file(
      ::openat(folder, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, S_IRUSR | S_IWUSR));
  if (!file.is_open()) return reason(errno);
  while (!bytes.empty()) {
    const ssize_t count = ::write(file.get(), bytes.data(), bytes.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return reason(errno);
    bytes.remove_prefix(static_cast<size_t>(count));
  }
  if (fsync(file.get()) != 0) return reason(errno);
  return file.close() ? "" : reason(errno);
}

/// No other thread or process uses the name at the same time.
std::string temporary_name() {
  static std::atomic<uint64_t> counter{0};
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return fmt::format("{}{}-{}-{}{:09}", kTemporaryPrefix, getpid(), counter.fetch_add(1), now.tv_sec,
                     now.tv_nsec);
}

struct FolderFile {
  std::string name;
  uint64_t bytes;
  int64_t modified;
};

/// All files of the folder whose names are a cache's, oldest first.
std::vector<FolderFile> files_of(int folder, const std::function<bool(std::string_view)>& is_wanted) {
  std::vector<FolderFile> files;
  const int copy = ::openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);  // closed by closedir
  DIR* stream = copy >= 0 ? fdopendir(copy) : nullptr;
  if (!stream) {
    if (copy >= 0) ::close(copy);
    return files;
  }
  while (const dirent* entry = readdir(stream)) {
    struct stat status {};
    if (!is_wanted(entry->d_name) || fstatat(folder, entry->d_name, &status, AT_SYMLINK_NOFOLLOW) != 0)
      continue;
    files.push_back({entry->d_name, static_cast<uint64_t>(status.st_size), status.st_mtime});
  }
  closedir(stream);
  std::ranges::sort(files, {}, [](const FolderFile& file) { return std::tie(file.modified, file.name); });
  return files;
}

bool is_temporary(std::string_view name) { return name.starts_with(kTemporaryPrefix); }

std::string own_cache_folder() {
  if (!settings().cache_enabled) return "";
  return cache_folder(settings().cache_dir.c_str(), std::getenv("XDG_CACHE_HOME"), std::getenv("HOME"));
}

}  // namespace

DiskCache::DiskCache(const std::string& folder, uint64_t most_bytes)
    : folder_(without_pitfalls(folder)), most_bytes_(most_bytes) {}

std::optional<Blobs> DiskCache::load(std::string_view key) noexcept {
  if (folder_.empty()) return std::nullopt;
  try {
    return find(key);
  } catch (const std::exception& error) {
    warn_once("cache " + folder_, error.what());
    return std::nullopt;
  }
}

std::optional<Blobs> DiskCache::find(std::string_view key) const {
  const std::string name = entry_file_name(key);
  const FileDescriptor folder = open_folder(folder_);
  std::string bytes;
  bool is_missing = !folder.is_open();
  std::string fault = is_missing ? "" : read_file(folder.get(), name.c_str(), bytes, is_missing);
  if (is_missing) {
    log(LogTopic::cache, "miss {}", name);
    return std::nullopt;
  }
  if (fault.empty()) {
    DecodedEntry entry = decode_entry(bytes);
    if (!entry.fault && entry.key == key) {
      log(LogTopic::cache, "hit {}, {} bytes", name, bytes.size());
      return std::move(entry.parts);
    }
    fault = entry.fault ? entry.fault : "it has another key";
  }
  warn_once("cache " + folder_ + name,
            fmt::format("the cache entry {}/{} is ignored: {}", folder_, name, fault));
  return std::nullopt;
}

void DiskCache::store(std::string_view key, const Blobs& parts) noexcept {
  if (folder_.empty()) return;
  try {
    const std::string bytes = encode_entry(key, parts);
    if (bytes.size() > std::min(most_bytes_, kMostEntryBytes)) {
      log(LogTopic::cache, "not stored: {} bytes are more than the cache holds", bytes.size());
      return;
    }
    const std::string fault = write(key, bytes);
    if (!fault.empty())
      warn_once("cache " + folder_, fmt::format("the cache folder {} takes no entries: {}", folder_, fault));
  } catch (const std::exception& error) {
    warn_once("cache " + folder_, error.what());
  }
}

/// Gives what went wrong, or an empty text.
std::string DiskCache::write(std::string_view key, std::string_view bytes) {
  const FileDescriptor folder = open_or_create_folder(folder_);
  if (!folder.is_open()) return "it cannot be created";
  const std::string name = entry_file_name(key), temporary = temporary_name();
  std::string fault = write_file(folder.get(), temporary.c_str(), bytes);
  if (fault.empty() && renameat(folder.get(), temporary.c_str(), folder.get(), name.c_str()) != 0)
    fault = reason(errno);
  if (!fault.empty()) {
    unlinkat(folder.get(), temporary.c_str(), 0);
    return fault;
  }
  log(LogTopic::cache, "stored {}, {} bytes", name, bytes.size());
  // The folder is looked through at the first store, and then only when the bound may have been passed.
  if (known_bytes_.load() == UINT64_MAX || known_bytes_.fetch_add(bytes.size()) + bytes.size() > most_bytes_)
    remove_oldest(folder.get());
  return "";
}

void DiskCache::remove_oldest(int folder) {
  const int64_t left_over = std::time(nullptr) - kLeftOverSeconds;
  for (const FolderFile& file : files_of(folder, is_temporary))
    if (file.modified < left_over) unlinkat(folder, file.name.c_str(), 0);
  const std::vector<FolderFile> files = files_of(folder, is_entry_file_name);
  uint64_t total = 0;
  for (const FolderFile& file : files) total += file.bytes;
  if (total > most_bytes_) {
    const uint64_t goal =
        most_bytes_ - most_bytes_ / 4;  // room for the next ones, so that this is seldom needed
    for (size_t i = 0; i + 1 < files.size() && total > goal; ++i) {
      if (unlinkat(folder, files[i].name.c_str(), 0) == 0) log(LogTopic::cache, "removed {}", files[i].name);
      total -= files[i].bytes;
    }
  }
  known_bytes_.store(total);
}

std::vector<EntryInfo> DiskCache::list() const {
  std::vector<EntryInfo> entries;
  if (folder_.empty()) return entries;
  const FileDescriptor folder = open_folder(folder_);
  if (!folder.is_open()) return entries;
  for (const FolderFile& file : files_of(folder.get(), is_entry_file_name)) {
    EntryInfo info{file.name, file.bytes, file.modified, "", ""};
    std::string bytes;
    bool is_missing = false;
    info.fault = read_file(folder.get(), file.name.c_str(), bytes, is_missing);
    if (is_missing) continue;  // removed by somebody meanwhile
    if (info.fault.empty()) {
      const DecodedEntry entry = decode_entry(bytes);
      info.key = entry.key;
      if (entry.fault)
        info.fault = entry.fault;
      else if (entry_file_name(entry.key) != file.name)
        info.fault = "it has another key";
    }
    entries.push_back(std::move(info));
  }
  std::ranges::reverse(entries);
  return entries;
}

std::vector<EntryInfo> DiskCache::verify() const {
  std::vector<EntryInfo> entries = list();
  std::erase_if(entries, [](const EntryInfo& info) { return info.fault.empty(); });
  return entries;
}

size_t DiskCache::clear() {
  if (folder_.empty()) return 0;
  const FileDescriptor folder = open_folder(folder_);
  if (!folder.is_open()) return 0;
  size_t count = 0;
  const auto is_ours = [](std::string_view name) { return is_entry_file_name(name) || is_temporary(name); };
  for (const FolderFile& file : files_of(folder.get(), is_ours)) {
    if (unlinkat(folder.get(), file.name.c_str(), 0) != 0 && errno != ENOENT)
      throw EnvironmentError(fmt::format("cannot remove {}/{}: {}", folder_, file.name, reason(errno)));
    if (!is_temporary(file.name)) ++count;
  }
  known_bytes_.store(0);
  return count;
}

DiskCache& disk_cache() {
  static auto* const instance = new DiskCache(own_cache_folder(), settings().cache_max_bytes);
  return *instance;
}

std::string cache_folder(const char* cache_dir, const char* xdg_cache_home, const char* home) {
  const auto is_absolute = [](const char* path) { return path != nullptr && *path == '/'; };
  if (cache_dir != nullptr && *cache_dir != '\0') return cache_dir;
  if (is_absolute(xdg_cache_home)) return std::string(xdg_cache_home) + "/calque";
  if (is_absolute(home)) return std::string(home) + "/.cache/calque";
  return "";
}

}  // namespace calque
