// Tells the sanitizers which memory generated code is about to touch: it is not instrumented, so without this they would
// see neither a buffer that is too small nor a barrier that is missing. Nothing in other builds.
#pragma once

#include <cstddef>
#include <cstdint>

#include "compiler/plan.h"

#if defined(__SANITIZE_THREAD__)
extern "C" void __tsan_read_range(const void* address, unsigned long bytes);
extern "C" void __tsan_write_range(const void* address, unsigned long bytes);
#elif defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#endif

namespace calque {

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
inline constexpr bool kAnnouncesAccess = true;
#else
inline constexpr bool kAnnouncesAccess = false;
#endif

inline void announce_access([[maybe_unused]] std::byte* address, [[maybe_unused]] int64_t bytes,
                            [[maybe_unused]] bool is_write) {
#if defined(__SANITIZE_THREAD__)
  (is_write ? __tsan_write_range : __tsan_read_range)(address, static_cast<unsigned long>(bytes));
#elif defined(__SANITIZE_ADDRESS__)
  // The sanitizer reports this read of the first byte that must not be touched.
  if (void* poisoned = __asan_region_is_poisoned(address, static_cast<size_t>(bytes)))
    static_cast<void>(*static_cast<volatile std::byte*>(poisoned));
#endif
}

/// What the part [begin, end) of a kernel's domain touches of one operand, which starts at `address`; `row_stride` as in the
/// kernel ABI.
inline void announce_operand(const PlanStep& step, const Place& place, std::byte* address, int64_t row_stride,
                             int64_t begin, int64_t end, bool is_write) {
  if (place.type.shape.element_count() == 0) return;
  const int64_t size = static_cast<int64_t>(size_of(place.type.dtype));
  if (step.domain == Domain::flat) {
    const bool is_shared = place.type.shape.element_count() == 1;
    return announce_access(address + (is_shared ? 0 : begin) * size, (is_shared ? 1 : end - begin) * size, is_write);
  }
  const int64_t width = place.type.shape.rank() == 0 ? 1 : place.type.shape.back();
  const bool by_columns = step.domain == Domain::columns && width != 1;
  const int64_t first = by_columns ? begin : 0, last = by_columns ? end : width;
  int64_t row = step.domain == Domain::rows ? begin : 0, rows_end = step.domain == Domain::rows ? end : step.rows;
  if (row_stride == 0) rows_end = row + (row < rows_end);
  for (; row < rows_end; ++row) announce_access(address + row * row_stride + first * size, (last - first) * size, is_write);
}

}  // namespace calque
