// Whether this is a build for a sanitizer, in which tests do less of what they repeat.
#pragma once

#include <cstdint>

namespace calque::test {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
inline constexpr bool kSanitized = true;
#else
inline constexpr bool kSanitized = false;
#endif

/// How many random cases to run where `count` is right for a plain build: a sanitizer makes each several times slower.
constexpr int64_t scaled(int64_t count) { return kSanitized ? (count + 4) / 5 : count; }

}  // namespace calque::test
