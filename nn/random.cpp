// Philox 4x32-10 and the distributions drawn from it.
#include "calque/nn/random.h"

#include <cmath>
#include <mutex>
#include <numbers>
#include <vector>

namespace calque {

std::array<uint32_t, 4> philox4x32(std::array<uint32_t, 4> counter, std::array<uint32_t, 2> key) {
  for (int round = 0; round < 10; ++round) {
    const uint64_t product0 = uint64_t{0xD2511F53} * counter[0], product1 = uint64_t{0xCD9E8D57} * counter[2];
    counter = {static_cast<uint32_t>(product1 >> 32) ^ counter[1] ^ key[0], static_cast<uint32_t>(product1),
               static_cast<uint32_t>(product0 >> 32) ^ counter[3] ^ key[1], static_cast<uint32_t>(product0)};
    key[0] += 0x9E3779B9;  // the golden ratio
    key[1] += 0xBB67AE85;  // sqrt(3) - 1
  }
  return counter;
}

uint32_t RandomStream::next() {
  if (used_ == 4) {
    words_ = philox4x32({static_cast<uint32_t>(block_), static_cast<uint32_t>(block_ >> 32),
                         static_cast<uint32_t>(stream_), static_cast<uint32_t>(stream_ >> 32)},
                        {static_cast<uint32_t>(seed_), static_cast<uint32_t>(seed_ >> 32)});
    ++block_;
    used_ = 0;
  }
  return words_[used_++];
}

double RandomStream::uniform() { return next() * 0x1p-32; }

double RandomStream::normal() {
  const double radius = (next() + 1.0) * 0x1p-32,
               angle = uniform();  // radius in (0, 1]: its logarithm is finite
  return std::sqrt(-2.0 * std::log(radius)) * std::cos(2.0 * std::numbers::pi * angle);
}

namespace {

struct Seed {
  std::mutex mutex;
  uint64_t value = 0, next_stream = 0;
};

Seed& process_seed() {
  static Seed seed;
  return seed;
}

RandomStream next_stream() {
  Seed& seed = process_seed();
  const std::lock_guard lock(seed.mutex);
  return RandomStream(seed.value, seed.next_stream++);
}

template <class Draw>
Tensor filled(const Shape& shape, Draw draw) {
  RandomStream random = next_stream();
  std::vector<float> values(shape.element_count());
  for (float& value : values) value = static_cast<float>(draw(random));
  return from_span<float>(values, shape);
}

}  // namespace

void manual_seed(uint64_t value) {
  Seed& seed = process_seed();
  const std::lock_guard lock(seed.mutex);
  seed.value = value;
  seed.next_stream = 0;
}

namespace nn {

Tensor uniform(const Shape& shape, double low, double high) {
  return filled(shape, [=](RandomStream& random) { return low + (high - low) * random.uniform(); });
}

Tensor normal(const Shape& shape, double mean, double deviation) {
  return filled(shape, [=](RandomStream& random) { return mean + deviation * random.normal(); });
}

Tensor xavier(int64_t inputs, int64_t outputs) {
  const double bound = std::sqrt(6.0 / static_cast<double>(inputs + outputs));
  return uniform({inputs, outputs}, -bound, bound);
}

}  // namespace nn
}  // namespace calque
