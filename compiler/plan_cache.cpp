// A bounded map in front of the disk cache.
#include "compiler/plan_cache.h"

#include <deque>
#include <mutex>
#include <unordered_map>

namespace calque {

namespace {

constexpr size_t kMostPrograms = 256;

struct MemoryCache {
  std::mutex mutex;
  std::unordered_map<std::string, Blobs> programs;
  std::deque<std::string> order;  // oldest first
};

MemoryCache& memory_cache() {
  static MemoryCache* cache = new MemoryCache;  // compiled functions may outlive static destruction
  return *cache;
}

void remember(const std::string& key, const Blobs& parts) {
  MemoryCache& cache = memory_cache();
  const std::lock_guard lock(cache.mutex);
  if (!cache.programs.insert_or_assign(key, parts).second) return;
  cache.order.push_back(key);
  if (cache.order.size() <= kMostPrograms) return;
  cache.programs.erase(cache.order.front());
  cache.order.pop_front();
}

}  // namespace

std::optional<Blobs> load_plan(const std::string& key) {
  {
    MemoryCache& cache = memory_cache();
    const std::lock_guard lock(cache.mutex);
    const auto found = cache.programs.find(key);
    if (found != cache.programs.end()) return found->second;
  }
  std::optional<Blobs> parts = disk_cache().load(key);
  if (parts) remember(key, *parts);
  return parts;
}

void store_plan(const std::string& key, const Blobs& parts) {
  remember(key, parts);
  disk_cache().store(key, parts);
}

}  // namespace calque
