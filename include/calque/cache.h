// The cache of compiled code: what it did so far, and warm caches as files.
//
// Compiled code is kept in memory and in the folder $CALQUE_CACHE_DIR, else $XDG_CACHE_HOME/calque, else
// ~/.cache/calque, else nowhere. A warm cache can be taken along as one file, so that a program on another
// machine starts without compiling.
#pragma once

#include <cstdint>
#include <string>

#pragma GCC visibility push(default)

namespace calque {

/// Counts of this process.
struct CacheStats {
  uint64_t memory_hits = 0;  // programs that this process had made or read before
  uint64_t disk_hits = 0;    // programs that were read from the folder
  uint64_t misses = 0;       // programs that were in neither
  uint64_t stored = 0;       // entries written to the folder
  uint64_t faults = 0;       // broken entries (each also a miss), refused folders, failed writes

  uint64_t memory_programs = 0, memory_bytes = 0;  // held in memory now
  uint64_t memory_evicted = 0;                     // dropped from memory to stay in bounds
  uint64_t disk_evicted = 0;  // entries that this process removed from the folder to stay in bounds
};
CacheStats cache_stats();

/// What became of the entries of a cache that was exported or imported.
struct CacheTransfer {
  uint64_t entries = 0, bytes = 0;  // written to the file, or to the folder
  uint64_t present = 0;             // import: the folder has them already
  uint64_t other_build = 0;         // left out: made by another build of Calque, which this one never reads
  uint64_t other_processor = 0;  // import, left out: for another instruction-set level than this process uses
  uint64_t damaged = 0;          // export, left out: broken
};

/// Writes every sound entry of this build in the cache folder, for whatever instruction-set level, into one
/// file. The file appears whole or not at all. Throws EnvironmentError when the folder is refused or the file
/// cannot be written.
CacheTransfer export_cache(const std::string& path);

/// Puts the entries of an exported file into the cache folder, under the rules that hold for any entry there.
/// The file is checked whole before anything is written: one that is cut off, changed or not an export throws
/// UserError, and nothing has happened. Entries are machine code: import only what you would run. Throws
/// EnvironmentError when there is no cache folder, or it is refused or full.
CacheTransfer import_cache(const std::string& path);

}  // namespace calque

#pragma GCC visibility pop
