// A hash of 64-bit words that is the same in every run.
#pragma once

#include <bit>
#include <cstdint>
#include <span>

namespace calque {

/// Multiply and rotate, two words at a time; the constants are the golden ratio's and a prime's bits.
inline uint64_t hash_words(std::span<const uint64_t> words, uint64_t seed) {
  uint64_t a = seed ^ 0x9e3779b97f4a7c15u, b = words.size();
  size_t i = 0;
  for (; i + 2 <= words.size(); i += 2) {
    a = std::rotl((a ^ words[i]) * 0x9e3779b97f4a7c15u, 29);
    b = std::rotl((b ^ words[i + 1]) * 0xc2b2ae3d27d4eb4fu, 31);
  }
  if (i < words.size()) a = std::rotl((a ^ words[i]) * 0x9e3779b97f4a7c15u, 29);
  const uint64_t h = (a ^ std::rotl(b, 17)) * 0x9e3779b97f4a7c15u;
  return h ^ h >> 32;
}

}  // namespace calque
