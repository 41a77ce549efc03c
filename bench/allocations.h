// Counts the allocations of a thread: included by programs that say how many a call makes. It defines malloc
// and its like, so one source file of a program includes it.
#pragma once

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <functional>

#include "bench/report.h"

// glibc's own functions behind counting ones (sanitizers have theirs)

#if defined(__GLIBC__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define COUNTS_ALLOCATIONS 1

static thread_local uint64_t allocations [[gnu::tls_model("initial-exec")]] = 0;

extern "C" {
void* __libc_malloc(size_t);
void* __libc_calloc(size_t, size_t);
void* __libc_realloc(void*, size_t);
void* __libc_memalign(size_t, size_t);

void* malloc(size_t bytes) { return ++allocations, __libc_malloc(bytes); }
void* calloc(size_t count, size_t bytes) { return ++allocations, __libc_calloc(count, bytes); }
void* realloc(void* old, size_t bytes) { return ++allocations, __libc_realloc(old, bytes); }
void* memalign(size_t alignment, size_t bytes) { return ++allocations, __libc_memalign(alignment, bytes); }
void* aligned_alloc(size_t alignment, size_t bytes) { return memalign(alignment, bytes); }
int posix_memalign(void** result, size_t alignment, size_t bytes) {
  void* const memory = memalign(alignment, bytes);
  if (memory == nullptr) return ENOMEM;
  *result = memory;
  return 0;
}
}
#else
[[maybe_unused]] static uint64_t allocations = 0;
#endif

namespace calque::bench {

/// Allocations of one call, after enough calls for every cache of ours to be warm.
inline void add_allocations(Row& row, [[maybe_unused]] const std::function<void()>& call) {
#ifdef COUNTS_ALLOCATIONS
  constexpr int kCalls = 100;
  for (int i = 0; i < kCalls; ++i) call();
  const uint64_t before = allocations;
  for (int i = 0; i < kCalls; ++i) call();
  row.more.emplace_back("mallocs", static_cast<double>(allocations - before) / kCalls);
#else
  (void)row;
#endif
}

}  // namespace calque::bench
