// Memory of small objects and of tensors' elements: freed blocks are kept by the thread and handed out again.
#pragma once

#include <cstddef>

namespace calque::memory {

/// Uninitialised bytes, aligned to 64. Throws EnvironmentError when the machine has no more. Blocks freed by this thread are
/// reused (size classes a quarter of a power of two apart), so that a steady loop makes no system call and no page fault.
void* allocate(size_t bytes);
/// `bytes` as given to allocate; any thread may free.
void free(void* block, size_t bytes) noexcept;

/// Bytes that this thread holds in freed blocks, and a way to give them back.
size_t cached_bytes();
void release_cached();

}  // namespace calque::memory
