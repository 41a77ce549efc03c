// The cache that compiling asks: what this process has made or read before, then what is on disk.
//
// In memory, programs are in a sorted list that never changes: a new one is made for each program that comes
// or goes, and published by an atomic pointer, so that whoever looks something up waits for nobody.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "compiler/cache.h"

namespace calque {

/// Where a plan came from.
enum class PlanOrigin : uint8_t { compiled, memory, disk };
/// "compiled", "taken from the cache in memory", "taken from the cache on disk".
const char* phrase(PlanOrigin origin);

struct CachedPlan {
  std::shared_ptr<const Blobs> parts;  // null: a miss
  PlanOrigin origin = PlanOrigin::compiled;
};

/// The parts stored under this key text, by this process or on disk. Any number of threads.
CachedPlan load_plan(const std::string& key);
/// Keeps the parts in memory and on disk.
void store_plan(const std::string& key, Blobs parts);

/// Programs by key text, bounded in number and in bytes: the one not used for longest goes first.
class ProgramTable {
 public:
  ProgramTable(size_t most_programs, uint64_t most_bytes);
  ~ProgramTable();
  ProgramTable(const ProgramTable&) = delete;
  ProgramTable& operator=(const ProgramTable&) = delete;

  /// Null when there is none. Takes no lock.
  std::shared_ptr<const Blobs> find(std::string_view key) const;
  /// Replaces what was there. A program that is larger than all that may be held is not kept.
  void insert(std::string_view key, std::shared_ptr<const Blobs> parts);

  struct Counts {
    uint64_t programs = 0, bytes = 0;  // held now
    uint64_t hits = 0, evicted = 0;    // since the beginning
  };
  Counts counts() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// The table of this process, in front of disk_cache(): at most 256 programs and 64 MiB.
ProgramTable& memory_cache();

}  // namespace calque
