// Memory of small objects and of tensors' elements: freed blocks are kept by the thread and handed out again.
#pragma once

#include <bit>
#include <cstddef>
#include <new>

namespace calque::memory {

/// Uninitialised bytes, aligned to 64. Throws EnvironmentError when the machine has no more. Blocks freed by this thread are
/// reused (size classes a quarter of a power of two apart), so that a steady loop makes no system call and no page fault.
void* allocate(size_t bytes);
/// `bytes` as given to allocate; any thread may free.
void free(void* block, size_t bytes) noexcept;

// The same for objects of one type, whose size class is found when compiling.
namespace detail {
/// Class of a size: blocks of (4 + c % 4) * 2^(c / 4) units of 64 bytes, 64 bytes at least.
constexpr int class_of(size_t bytes) {
  const size_t units = bytes == 0 ? 1 : (bytes + 63) / 64;
  if (units <= 4) return static_cast<int>(units) - 1;
  const int shift = std::bit_width(units - 1) - 3;  // units - 1 >= 4, so its top three bits name the class
  const size_t top = ((units - 1) >> shift) + 1;    // 5..8
  return 4 * (shift + 1) + static_cast<int>(top) - 5;
}
constexpr size_t bytes_of(int size_class) {
  if (size_class < 4) return size_t{64} * static_cast<size_t>(size_class + 1);
  return size_t{64} * static_cast<size_t>(5 + size_class % 4) << (size_class / 4 - 1);
}

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
inline constexpr bool kReuses = false;  // a reused block would hide use after free
#else
inline constexpr bool kReuses = true;
#endif
inline constexpr int kClasses = 4 * 64;

struct FreeBlock {
  FreeBlock* next;
};

struct ThreadCache {
  FreeBlock* lists[kClasses] = {};
  size_t bytes = 0;
  const size_t most;  // bytes that it keeps

  explicit ThreadCache(size_t most) : most(most) {}
};

// Two kilobytes, so it is not itself in thread-local storage, of which a program that opens the library late has little. Null
// before the first call, and after the thread's end.
extern thread_local constinit ThreadCache* cache;

/// Where nothing is kept of the class.
void* allocate_fresh(size_t size);
/// `size` is that of the class.
inline void* allocate_class(int size_class, size_t size) {
  ThreadCache* const mine = cache;
  if (!mine || !mine->lists[size_class]) [[unlikely]]
    return allocate_fresh(size);
  FreeBlock* const block = mine->lists[size_class];
  mine->lists[size_class] = block->next;
  mine->bytes -= size;
  return block;
}
/// Where there is no cache yet, or it is full.
void free_seldom(int size_class, size_t size, void* block) noexcept;
inline void free_class(int size_class, size_t size, void* block) noexcept {
  ThreadCache* const mine = cache;
  if (!mine || mine->bytes + size > mine->most) [[unlikely]]
    return free_seldom(size_class, size, block);
  mine->lists[size_class] = new (block) FreeBlock{mine->lists[size_class]};
  mine->bytes += size;
}
}  // namespace detail
template <class T>
void* allocate_for() {
  constexpr int size_class = detail::class_of(sizeof(T));
  return detail::allocate_class(size_class, detail::bytes_of(size_class));
}
template <class T>
void free_for(T* object) noexcept {
  constexpr int size_class = detail::class_of(sizeof(T));
  detail::free_class(size_class, detail::bytes_of(size_class), object);
}

/// Bytes that this thread holds in freed blocks, and a way to give them back.
size_t cached_bytes();
void release_cached();

}  // namespace calque::memory
