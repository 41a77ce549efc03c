// The disk cache: what was compiled, by the text that determines it. Any number of threads and processes
// share a folder.
//
// An entry is one file: header, key text, parts, with a checksum over all of it. It is written under a
// temporary name, synced and renamed, so that a reader sees all of it or nothing. What is read is hostile
// until checked; whatever is wrong with it is a miss and one warning, never an error.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace calque {

/// The parts of an entry by name: IR texts, images.
using Blobs = std::map<std::string, std::string>;

struct EntryInfo {
  std::string file;  // name within the folder
  uint64_t bytes = 0;
  int64_t modified = 0;  // seconds since 1970
  std::string key;       // empty when the entry is broken
  std::string fault;     // what is wrong with it; empty when it is sound
};

class DiskCache {
 public:
  /// An empty `folder` is a cache that holds nothing. The folder is created when something is first stored;
  /// it must belong to this user, be writable by nobody else and not be a symbolic link, else nothing is read
  /// or written there.
  DiskCache(const std::string& folder, uint64_t most_bytes);

  const std::string& folder() const { return folder_; }

  /// The parts stored under exactly this key text.
  std::optional<Blobs> load(std::string_view key) noexcept;
  /// Stores, replacing what was there; removes the oldest entries once the folder holds more than the bound.
  void store(std::string_view key, const Blobs& parts) noexcept;

  /// All entries, newest first, each read and checked whole. Throws EnvironmentError when the folder is
  /// refused.
  std::vector<EntryInfo> list() const;
  /// Those of list() that are broken.
  std::vector<EntryInfo> verify() const;
  /// Removes all entries and what interrupted writers left; gives how many entries there were. Throws
  /// EnvironmentError when the folder is refused or a file cannot be removed.
  size_t clear();

 private:
  std::optional<Blobs> find(std::string_view key) const;
  std::string write(std::string_view key, std::string_view bytes);
  void remove_oldest(int folder);

  std::string folder_;
  uint64_t most_bytes_;
  std::atomic<uint64_t> known_bytes_{
      UINT64_MAX};  // held at the last look plus stored since; maximum: not looked yet
};

/// The cache of this process, in the folder that the settings and the environment name.
DiskCache& disk_cache();

/// $CALQUE_CACHE_DIR, else $XDG_CACHE_HOME/calque, else $HOME/.cache/calque, else empty: memory only. The
/// arguments are the variables' values, null where unset; XDG_CACHE_HOME and HOME count only as absolute
/// paths.
std::string cache_folder(const char* cache_dir, const char* xdg_cache_home, const char* home);

}  // namespace calque
