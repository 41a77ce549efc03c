// Entries in the folder of the disk cache: reading, writing, the bound on their size.
#include "compiler/cache.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>

#include "compiler/cache_entry.h"
#include "compiler/cache_folder.h"
#include "compiler/log.h"
#include "ir/op/error.h"
#include "runtime/log.h"

namespace calque {

namespace {

/// A slash at the end would let open() follow a symbolic link, and a relative path would change with the
/// working folder.
std::string without_pitfalls(const std::string& path) {
  if (path.empty()) return path;
  std::error_code error;
  std::string result = std::filesystem::absolute(path, error).string();
  while (result.size() > 1 && (result.ends_with('/') || result.ends_with("/."))) result.pop_back();
  return error ? "" : result;
}

std::string own_cache_folder() {
  if (!settings().cache_enabled) return "";
  return cache_folder(settings().cache_dir.c_str(), std::getenv("XDG_CACHE_HOME"), std::getenv("HOME"));
}

}  // namespace

DiskCache::DiskCache(const std::string& folder, uint64_t most_bytes)
    : folder_(without_pitfalls(folder)), most_bytes_(most_bytes) {}

void DiskCache::require_folder() const {
  if (folder_.empty())
    throw EnvironmentError(
        "there is no cache folder: set CALQUE_CACHE_DIR, XDG_CACHE_HOME or HOME, and not CALQUE_CACHE=0");
}

std::optional<Blobs> DiskCache::load(std::string_view key) noexcept {
  if (folder_.empty()) return std::nullopt;
  try {
    std::optional<Blobs> parts = find(key);
    ++(parts ? counts_.hits : counts_.misses);
    return parts;
  } catch (const std::exception& error) {
    ++counts_.misses;
    note_fault(error.what());
    return std::nullopt;
  }
}

std::optional<Blobs> DiskCache::find(std::string_view key) {
  const std::string name = entry_file_name(key);
  const CacheFolder folder = CacheFolder::open(folder_);
  std::string bytes;
  bool is_missing = !folder.is_open();
  std::string fault = is_missing ? "" : folder.read(name, bytes, is_missing);
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
  note_fault(fmt::format("the cache entry {}/{} is ignored: {}", folder_, name, fault));
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
    store_bytes(key, bytes);
  } catch (const std::exception& error) {
    note_fault(error.what());
  }
}

void DiskCache::store_bytes(std::string_view key, std::string_view bytes) {
  require_folder();
  const CacheFolder folder = CacheFolder::open_or_create(folder_);
  if (!folder.is_open())
    throw EnvironmentError(fmt::format("the cache folder {} is not used: it vanished", folder_));
  const std::string name = entry_file_name(key), fault = folder.write(name, bytes);
  if (!fault.empty())
    throw EnvironmentError(fmt::format("the cache folder {} takes no entries: {}", folder_, fault));
  ++counts_.stored;
  log(LogTopic::cache, "stored {}, {} bytes", name, bytes.size());
  // The folder is looked through at the first store, and then only when a bound may have been passed.
  if (known_bytes_.load() == UINT64_MAX || known_bytes_.fetch_add(bytes.size()) + bytes.size() > most_bytes_ ||
      known_entries_.fetch_add(1) + 1 > kMostEntries)
    remove_unused(folder);
}

void DiskCache::remove_unused(const CacheFolder& folder) {
  std::vector<FolderFile> files = folder.files_and_no_left_over(is_entry_file_name);
  uint64_t total = 0;
  for (const FolderFile& file : files) total += file.bytes;
  size_t entries = files.size();
  if (total > most_bytes_ || entries > kMostEntries) {
    oldest_first(files);
    for (size_t i = 0; i + 1 < files.size() && (total > kept_bytes() || entries > kKeptEntries); ++i) {
      if (folder.remove(files[i].name) == 0) {
        ++counts_.evicted;
        log(LogTopic::cache, "removed {}", files[i].name);
      }
      total -= files[i].bytes;
      --entries;
    }
  }
  known_bytes_.store(total);
  known_entries_.store(entries);
}

void DiskCache::visit(const Visitor& visitor) const {
  if (folder_.empty()) return;
  const CacheFolder folder = CacheFolder::open(folder_);
  if (!folder.is_open()) return;
  std::vector<FolderFile> files = folder.files(is_entry_file_name);
  oldest_first(files);
  std::ranges::reverse(files);
  for (const FolderFile& file : files) {
    EntryInfo info{file.name, file.bytes, file.modified, "", ""};
    std::string bytes;
    bool is_missing = false;
    info.fault = folder.read(file.name, bytes, is_missing);
    if (is_missing) continue;  // removed by somebody meanwhile
    DecodedEntry entry;
    if (info.fault.empty()) {
      entry = decode_entry(bytes);
      info.key = entry.key;
      if (entry.fault)
        info.fault = entry.fault;
      else if (entry_file_name(entry.key) != file.name)
        info.fault = "it has another key";
    }
    if (!info.fault.empty()) entry.parts.clear();
    visitor(info, entry.parts, bytes);
  }
}

std::vector<EntryInfo> DiskCache::list() const {
  std::vector<EntryInfo> entries;
  visit([&](const EntryInfo& info, const Blobs&, std::string_view) { entries.push_back(info); });
  return entries;
}

std::string DiskCache::entry_bytes(const std::string& file) const {
  const CacheFolder folder = CacheFolder::open(folder_);
  std::string bytes;
  bool is_missing = !folder.is_open();
  const bool is_read = !is_missing && folder.read(file, bytes, is_missing).empty();
  return is_read ? bytes : "";
}

std::vector<EntryInfo> DiskCache::verify() const {
  std::vector<EntryInfo> entries = list();
  std::erase_if(entries, [](const EntryInfo& info) { return info.fault.empty(); });
  return entries;
}

ClearedEntries DiskCache::clear() {
  ClearedEntries cleared;
  if (folder_.empty()) return cleared;
  const CacheFolder folder = CacheFolder::open(folder_);
  if (!folder.is_open()) return cleared;
  for (const FolderFile& file : folder.files_and_no_left_over(is_entry_file_name)) {
    const int error = folder.remove(file.name);
    if (error == ENOENT || error == EISDIR) continue;  // somebody was quicker; a folder is not ours
    if (error != 0)
      throw EnvironmentError(
          fmt::format("cannot remove {}/{}: {}", folder_, file.name, std::strerror(error)));
    ++cleared.entries;
    cleared.bytes += file.bytes;
  }
  known_bytes_.store(UINT64_MAX);
  return cleared;
}

void DiskCache::note_fault(std::string_view sentence) noexcept {
  ++counts_.faults;
  warn_of_cache_fault(sentence);
}

void warn_of_cache_fault(std::string_view sentence) noexcept {
  static std::atomic<bool> was_warned{false};
  if (!was_warned.exchange(true))
    warn(sentence);
  else if (settings().is_logged(LogTopic::cache))
    write_log(LogTopic::cache, sentence);
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
