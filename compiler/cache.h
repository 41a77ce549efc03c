// The disk cache: what was compiled, by the text that determines it. Any number of threads and processes
// share a folder.
//
// An entry is one file: header, key text, parts, with a checksum over all of it. It is written under a
// temporary name, synced and renamed, so that a reader sees all of it or nothing. What is read is hostile
// until checked; whatever is wrong with it is a miss, and the first time of a process a warning, never an
// error.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace calque {

class CacheFolder;

/// The parts of an entry by name: IR texts, images.
using Blobs = std::map<std::string, std::string>;

struct EntryInfo {
  std::string file;  // name within the folder
  uint64_t bytes = 0;
  int64_t modified = 0;  // when it was written or last used, in seconds since 1970, to the hour
  std::string key;       // empty when the entry is broken
  std::string fault;     // what is wrong with it; empty when it is sound
};

/// What one DiskCache did so far.
struct DiskCacheCounts {
  std::atomic<uint64_t> hits{0}, misses{0};
  std::atomic<uint64_t> faults{0};  // broken entries (each also a miss), refused folders, failed writes
  std::atomic<uint64_t> stored{0}, evicted{0};
};

struct ClearedEntries {
  uint64_t entries = 0, bytes = 0;
};

class DiskCache {
 public:
  /// How many entries the folder may hold. A process that stores something looks at each of them once, 2 us each.
  static constexpr size_t kMostEntries = 2048, kKeptEntries = kMostEntries - kMostEntries / 4;

  /// An empty `folder` is a cache that holds nothing. The folder is created when something is first stored;
  /// it must belong to this user, be writable by nobody else and not be a symbolic link, else nothing is read
  /// or written there.
  DiskCache(const std::string& folder, uint64_t most_bytes);

  const std::string& folder() const { return folder_; }
  /// Throws EnvironmentError when there is no folder.
  void require_folder() const;
  /// Once the bound is passed, entries are removed down to this, so that it is seldom needed.
  uint64_t kept_bytes() const { return most_bytes_ - most_bytes_ / 4; }
  const DiskCacheCounts& counts() const { return counts_; }

  /// The parts stored under exactly this key text.
  std::optional<Blobs> load(std::string_view key) noexcept;
  /// Stores, replacing what was there; removes entries, the one not used for longest first, once the folder
  /// holds more bytes than the bound, or more than `kMostEntries`.
  void store(std::string_view key, const Blobs& parts) noexcept;

  /// Stores the bytes of a whole entry under its key. Throws EnvironmentError when the folder is refused or
  /// takes no file.
  void store_bytes(std::string_view key, std::string_view bytes);

  /// Each entry, newest first, read and checked whole: what is known of it, its parts (none when it is
  /// broken) and its bytes. Throws EnvironmentError when the folder is refused.
  using Visitor = std::function<void(const EntryInfo&, const Blobs& parts, std::string_view bytes)>;
  void visit(const Visitor& visitor) const;
  std::vector<EntryInfo> list() const;
  /// The bytes of the file of an entry, unchecked; empty when it cannot be read.
  std::string entry_bytes(const std::string& file) const;
  /// Those of list() that are broken.
  std::vector<EntryInfo> verify() const;
  /// Removes all entries and what interrupted writers left, nothing else. Throws EnvironmentError when the
  /// folder is refused or an entry cannot be removed.
  ClearedEntries clear();

 private:
  std::optional<Blobs> find(std::string_view key);
  std::string write(const CacheFolder& folder, std::string_view key, std::string_view bytes);
  void remove_unused(const CacheFolder& folder);
  void note_fault(std::string_view sentence) noexcept;

  std::string folder_;
  uint64_t most_bytes_;
  std::atomic<uint64_t> known_bytes_{
      UINT64_MAX};  // held at the last look plus stored since; maximum: not looked yet
  std::atomic<size_t> known_entries_{0};
  DiskCacheCounts counts_;
};

/// Something is wrong with the cache, which is no error: the first time this is a warning, then a line of the
/// topic `cache`.
void warn_of_cache_fault(std::string_view sentence) noexcept;

/// The cache of this process, in the folder that the settings and the environment name.
DiskCache& disk_cache();

/// $CALQUE_CACHE_DIR, else $XDG_CACHE_HOME/calque, else $HOME/.cache/calque, else empty: memory only. The
/// arguments are the variables' values, null where unset; XDG_CACHE_HOME and HOME count only as absolute
/// paths.
std::string cache_folder(const char* cache_dir, const char* xdg_cache_home, const char* home);

}  // namespace calque
