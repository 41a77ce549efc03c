// Size-class free lists, one set for each thread.
#include "runtime/pool.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <new>
#include <utility>

#include "ir/op/error.h"

namespace calque::memory {

thread_local constinit detail::ThreadCache* detail::cache = nullptr;

namespace {

using detail::cache, detail::FreeBlock, detail::ThreadCache;

// A tensor may outlive its thread's cache (static destruction order), so the cache says when it is gone.
thread_local constinit bool cache_is_gone = false;

struct CacheOwner {
  ~CacheOwner() {
    release_cached();
    delete std::exchange(cache, nullptr);
    cache_is_gone = true;
  }
};

/// A quarter of the machine's memory, 2 GB at least: what a training step over thousands of time steps takes each time would
/// else be given back each time, and each page of it costs more than to compute on it.
size_t most_cached() {
  if (!detail::kReuses) return 0;
  const auto pages = static_cast<size_t>(std::max<long>(sysconf(_SC_PHYS_PAGES), 0)), page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  return std::max(size_t{2} << 30, pages / 4 * page);
}

/// The thread's cache, made at the first call; null when it is gone or there is no memory for it.
ThreadCache* thread_cache() {
  if (cache || cache_is_gone) return cache;
  static thread_local CacheOwner owner;
  return cache = new (std::nothrow) ThreadCache(most_cached());
}

/// Large blocks ask for pages of 2 MB: what is read and written once, as saved values of a long loop are, else waits for the
/// translation of every 4 KB, and for as many faults when it is new. To be refused costs nothing.
void* aligned_block(size_t bytes) {
  constexpr size_t kHugePage = size_t{2} << 20, kWorthHugePages = 2 * kHugePage;
  const bool is_large = bytes >= kWorthHugePages;
  void* block = nullptr;
  if (posix_memalign(&block, is_large ? kHugePage : 64, bytes) != 0) return nullptr;
  if (is_large) madvise(block, bytes / kHugePage * kHugePage, MADV_HUGEPAGE);
  return block;
}

void* fresh_block(size_t bytes) {
  void* block = aligned_block(bytes);
  if (!block && cached_bytes() != 0) {
    release_cached();
    block = aligned_block(bytes);
  }
  if (!block) throw EnvironmentError("out of memory: " + std::to_string(bytes) + " bytes for a tensor");
  return block;
}

}  // namespace

void* detail::allocate_fresh(size_t size) {
  thread_cache();
  return fresh_block(size);
}

void detail::free_seldom(int size_class, size_t size, void* block) noexcept {
  ThreadCache* const mine = thread_cache();
  if (!mine || size > mine->most) return std::free(block);
  if (mine->bytes + size > mine->most) release_cached();  // the rest is of an earlier time, and this will be wanted again
  free_class(size_class, size, block);
}

void* allocate(size_t bytes) {
  if (bytes > SIZE_MAX / 4) throw EnvironmentError("out of memory: " + std::to_string(bytes) + " bytes for a tensor");
  if (!detail::kReuses) return fresh_block(bytes);  // of the exact size, for the sanitizer to guard
  const int size_class = detail::class_of(bytes);
  return detail::allocate_class(size_class, detail::bytes_of(size_class));
}

void free(void* block, size_t bytes) noexcept {
  const int size_class = detail::class_of(bytes);
  detail::free_class(size_class, detail::bytes_of(size_class), block);
}

size_t cached_bytes() { return cache ? cache->bytes : 0; }

void release_cached() {
  if (!cache) return;
  for (FreeBlock*& list : cache->lists)
    while (list) {
      FreeBlock* next = list->next;
      std::free(list);
      list = next;
    }
  cache->bytes = 0;
}

}  // namespace calque::memory
