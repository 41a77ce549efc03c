// Random numbers that depend on nothing but a seed and a stream number, and the initialisers made of them.
#pragma once

#include <array>
#include <cstdint>

#include "calque/tensor.h"

namespace calque {

/// Philox 4x32-10: four random words for each (counter, key), without any state (Salmon, Moraes, Dror, Shaw:
/// Parallel random numbers: as easy as 1, 2, 3. SC 2011).
std::array<uint32_t, 4> philox4x32(std::array<uint32_t, 4> counter, std::array<uint32_t, 2> key);

/// One sequence of random numbers for each (seed, stream): the counter's upper half is the stream, its lower
/// half counts.
class RandomStream {
 public:
  explicit RandomStream(uint64_t seed, uint64_t stream = 0) : seed_(seed), stream_(stream) {}
  uint32_t next();
  /// Uniform in [0, 1), a multiple of 2^-32.
  double uniform();
  /// Normal with mean 0 and variance 1 (Box, Muller 1958).
  double normal();

 private:
  uint64_t seed_, stream_, block_ = 0;
  std::array<uint32_t, 4> words_{};
  int used_ = 4;
};

/// Sets the seed of the initialisers and starts their streams from 0 again. The seed is 0 when nobody sets
/// it. The streams are the process's: threads that initialise at once share them in the order in which they
/// come.
void manual_seed(uint64_t seed);

}  // namespace calque

namespace calque::nn {

// Each call takes the next stream: the n-th tensor initialised after manual_seed(s) depends on s, n and its
// arguments only. Results are f32.

/// Uniform in [low, high).
Tensor uniform(const Shape& shape, double low, double high);
Tensor normal(const Shape& shape, double mean = 0, double deviation = 1);
/// A matrix [inputs, outputs], uniform within +-sqrt(6 / (inputs + outputs)) (Glorot, Bengio 2010).
Tensor xavier(int64_t inputs, int64_t outputs);

}  // namespace calque::nn
