// What the machine can do: floating-point operations in registers, and bytes read from each level of memory.
#pragma once

#include <immintrin.h>

#include <algorithm>
#include <fstream>
#include <string>
#include <vector>

#include "bench/measure.h"
#include "runtime/kernels/isa.h"
#include "runtime/thread_pool.h"

namespace calque::bench {

constexpr int kAccumulators = 16;     // of the AVX-512 loops: enough to hide the latency of two FMA units
constexpr int kFewAccumulators = 12;  // of the others, which have 16 registers

/// Runs `count` times 16 FMAs of one vector each; returns something that depends on all of them.
[[gnu::target("avx512f")]] inline float fma_loop_avx512(int64_t count) {
  __m512 sums[kAccumulators];
  for (__m512& sum : sums) sum = _mm512_set1_ps(1.0f);
  const __m512 factor = _mm512_set1_ps(0.999f), term = _mm512_set1_ps(0.001f);
  for (int64_t i = 0; i < count; ++i)
#pragma GCC unroll 16
    for (__m512& sum : sums) sum = _mm512_fmadd_ps(sum, factor, term);
  float result = 0;
  for (const __m512& sum : sums) result += _mm512_cvtss_f32(sum);
  return result;
}

[[gnu::target("avx2,fma")]] inline float fma_loop_avx2(int64_t count) {
  __m256 sums[kFewAccumulators];
  for (__m256& sum : sums) sum = _mm256_set1_ps(1.0f);
  const __m256 factor = _mm256_set1_ps(0.999f), term = _mm256_set1_ps(0.001f);
  for (int64_t i = 0; i < count; ++i)
#pragma GCC unroll 12
    for (__m256& sum : sums) sum = _mm256_fmadd_ps(sum, factor, term);
  float result = 0;
  for (const __m256& sum : sums) result += _mm256_cvtss_f32(sum);
  return result;
}

/// Reads `bytes` (a multiple of 1024) `count` times and returns something that depends on all of them.
[[gnu::target("avx512f")]] inline float read_loop_avx512(const float* data, size_t bytes, int64_t count) {
  __m512 sums[kAccumulators];
  for (__m512& sum : sums) sum = _mm512_setzero_ps();
  for (int64_t i = 0; i < count; ++i)
    for (size_t at = 0; at < bytes / sizeof(float); at += kAccumulators * 16)
#pragma GCC unroll 16
      for (int k = 0; k < kAccumulators; ++k)
        sums[k] = _mm512_add_ps(sums[k], _mm512_loadu_ps(data + at + 16 * k));
  float result = 0;
  for (const __m512& sum : sums) result += _mm512_cvtss_f32(sum);
  return result;
}

[[gnu::target("avx2")]] inline float read_loop_avx2(const float* data, size_t bytes, int64_t count) {
  constexpr int kVectors = 8;
  __m256 sums[kVectors];
  for (__m256& sum : sums) sum = _mm256_setzero_ps();
  for (int64_t i = 0; i < count; ++i)
    for (size_t at = 0; at < bytes / sizeof(float); at += kVectors * 8)
#pragma GCC unroll 8
      for (int k = 0; k < kVectors; ++k) sums[k] = _mm256_add_ps(sums[k], _mm256_loadu_ps(data + at + 8 * k));
  float result = 0;
  for (const __m256& sum : sums) result += _mm256_cvtss_f32(sum);
  return result;
}

inline bool is_measurable() { return kernels::is_supported(kernels::IsaLevel::avx2); }
inline bool is_wide() { return kernels::is_supported(kernels::IsaLevel::avx512); }

/// What was seen of something that takes `amount` (operations, bytes) each time.
struct Speed {
  Samples samples;
  double amount = 0;
  /// Of the fastest sample, in 10^9 a second: noise only ever slows.
  double giga() const { return samples.us.empty() ? 0 : amount / samples.minimum() / 1e3; }
};

/// Floating-point operations (an FMA is two) of the pool's threads together; nothing on a machine without
/// FMA.
inline Speed measure_flops(bool quick) {
  Speed speed;
  if (!is_measurable()) return speed;
  const int64_t count = 50'000;  // a fraction of a millisecond: some of many such pieces are not interrupted
  const int threads = ThreadPool::instance().num_threads();
  speed.amount =
      threads * 2.0 * static_cast<double>(count) * (is_wide() ? kAccumulators * 16 : kFewAccumulators * 8);
  for (int repetition = 0; repetition < (quick ? 3 : 500); ++repetition) {
    const double start = now_us();
    ThreadPool::instance().run(threads, [&](Team&) {
      volatile float kept = is_wide() ? fma_loop_avx512(count) : fma_loop_avx2(count);
      (void)kept;
    });
    speed.samples.us.push_back(now_us() - start);
  }
  return speed;
}

/// Floating-point operations per microsecond; 0 on a machine without FMA.
inline double peak_flops_per_us(bool quick) { return measure_flops(quick).giga() * 1e3; }

/// Bytes read by the pool's threads together, each from `bytes` of its own, again and again.
inline Speed measure_reads(size_t bytes, bool quick) {
  Speed speed;
  if (!is_measurable()) return speed;
  const int threads = ThreadPool::instance().num_threads();
  const size_t own = std::max<size_t>(1024, bytes / 1024 * 1024), floats = own / sizeof(float);
  const std::vector<float> data(floats * static_cast<size_t>(threads), 1.0f);
  const auto count = static_cast<int64_t>(std::max<size_t>(1, (quick ? 1 << 18 : 1 << 24) / own));
  speed.amount = static_cast<double>(own) * threads * static_cast<double>(count);
  for (int repetition = 0; repetition < (quick ? 3 : 60); ++repetition) {
    const double start = now_us();
    ThreadPool::instance().run(threads, [&](Team& team) {
      const float* const part = data.data() + floats * static_cast<size_t>(team.rank);
      volatile float kept = is_wide() ? read_loop_avx512(part, own, count) : read_loop_avx2(part, own, count);
      (void)kept;
    });
    if (repetition > 0) speed.samples.us.push_back(now_us() - start);  // the first brings the data in
  }
  return speed;
}

/// Bytes of the first processor's data cache of a level, as the system tells; `otherwise` where it does not.
inline size_t cache_bytes(int level, size_t otherwise) {
  for (int index = 0; index < 8; ++index) {
    const std::string folder = "/sys/devices/system/cpu/cpu0/cache/index" + std::to_string(index) + "/";
    std::ifstream level_file(folder + "level"), type_file(folder + "type"), size_file(folder + "size");
    int found = 0;
    std::string type, size;
    if (!(level_file >> found) || !(type_file >> type) || !(size_file >> size)) continue;
    if (found != level || type == "Instruction") continue;
    const size_t unit = size.back() == 'M' ? 1 << 20 : size.back() == 'K' ? 1 << 10 : 1;
    return std::stoul(size) * unit;
  }
  return otherwise;
}

/// What the pool's threads need to meet once, in nanoseconds: the median of some thousands in a row. A virtual machine's host moves
/// its processors, so this changes while it runs.
inline double barrier_ns() {
  constexpr int kPieces = 9, kBarriers = 2000;
  Samples samples;
  ThreadPool& pool = ThreadPool::instance();
  for (int piece = 0; piece < kPieces; ++piece)
    pool.run(pool.num_threads(), [&](Team& team) {
      team.barrier();
      const double start = now_us();
      for (int i = 0; i < kBarriers; ++i) team.barrier();
      if (team.rank == 0) samples.us.push_back((now_us() - start) * 1e3 / kBarriers);
    });
  return samples.median();
}

}  // namespace calque::bench
