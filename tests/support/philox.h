// Philox4x32-10 and the normal quantile as references: written from the papers, sharing no code with Calque.
#pragma once

#include <array>
#include <cmath>
#include <cstdint>

namespace calque::test {

/// One block (Salmon et al. 2011, section 3.3).
inline std::array<uint32_t, 4> philox4x32(std::array<uint32_t, 4> counter, std::array<uint32_t, 2> key) {
  for (int round = 0; round < 10; ++round) {
    const uint64_t product0 = uint64_t{0xD2511F53} * counter[0], product1 = uint64_t{0xCD9E8D57} * counter[2];
    counter = {static_cast<uint32_t>(product1 >> 32) ^ counter[1] ^ key[0], static_cast<uint32_t>(product1),
               static_cast<uint32_t>(product0 >> 32) ^ counter[3] ^ key[1], static_cast<uint32_t>(product0)};
    key[0] += 0x9E3779B9;
    key[1] += 0xBB67AE85;
  }
  return counter;
}

/// What the row philox says it gives.
inline int64_t philox53(int64_t key, int64_t counter) {
  const auto low = [](int64_t x) { return static_cast<uint32_t>(x); };
  const auto high = [](int64_t x) { return static_cast<uint32_t>(static_cast<uint64_t>(x) >> 32); };
  const auto words = philox4x32({low(counter), high(counter), 0, 0}, {low(key), high(key)});
  return static_cast<int64_t>((uint64_t{words[1]} << 32 | words[0]) >> 11);
}

/// The y with Phi(y) = p: bisection, then Newton's method.
template <class R>
R normal_quantile(R p) {
  if (!(p >= 0 && p <= 1)) return NAN;
  if (p == 0 || p == 1) return p == 0 ? -INFINITY : INFINITY;
  if (p == R(0.5)) return 0;
  if (p > R(0.5)) return -normal_quantile<R>(1 - p);  // exact for the p of a narrower type
  const R root = std::sqrt(R(2)), pi = std::acos(R(-1));
  const auto phi = [&](R y) { return std::erfc(-y / root) / 2; };
  R low = -40, high = 0;
  for (int i = 0; i < 14; ++i) (phi((low + high) / 2) < p ? low : high) = (low + high) / 2;
  R y = (low + high) / 2;
  for (int i = 0; i < 5; ++i) {
    const R density = std::exp(-y * y / 2) / std::sqrt(2 * pi);
    // Near the centre from p - 1/2, which is exact; in the tail from the logarithm, which is nearly straight.
    y -= p > R(0.25) ? (std::erf(y / root) / 2 - (p - R(0.5))) / density
                     : (std::log(phi(y)) - std::log(p)) * phi(y) / density;
  }
  return y;
}

}  // namespace calque::test
