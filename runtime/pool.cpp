// Size-class free lists, one set for each thread.
#include "runtime/pool.h"

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

/// The thread's cache, made at the first call; null when it is gone or there is no memory for it.
ThreadCache* thread_cache() {
  if (cache || cache_is_gone) return cache;
  static thread_local CacheOwner owner;
  return cache = new (std::nothrow) ThreadCache;
}

void* aligned_block(size_t bytes) {
  void* block = nullptr;
  return posix_memalign(&block, 64, bytes) == 0 ? block : nullptr;
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
  if (!mine || mine->bytes + size > kMostCached) return std::free(block);
  free_class(size_class, size, block);
}

void* allocate(size_t bytes) {
  if (bytes > SIZE_MAX / 4) throw EnvironmentError("out of memory: " + std::to_string(bytes) + " bytes for a tensor");
  if (detail::kMostCached == 0) return fresh_block(bytes);  // of the exact size, for the sanitizer to guard
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
