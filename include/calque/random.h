// Random numbers: generators that count, and tensors drawn from them.
//
// A number is Philox4x32-10 of a seed and a counter (Salmon et al. 2011). Each function takes as many
// counters from a generator as its result has elements, so what it gives depends only on the seed and on how
// many numbers were drawn before: not on threads, instruction sets, or whether the ops ran eagerly or
// compiled.
#pragma once

#include <cstdint>
#include <mutex>

#include "calque/ops.h"
#include "calque/tensor.h"

#pragma GCC visibility push(default)

namespace calque {

/// A seed, and how many numbers were drawn with it. Any number of threads may draw from one; the order in
/// which they come decides which numbers each gets, so a thread that must be reproducible takes a generator
/// of its own.
class Generator {
 public:
  explicit Generator(uint64_t seed = 0) : seed_(seed) {}
  Generator(const Generator&) = delete;
  Generator& operator=(const Generator&) = delete;

  /// Starts again with the first number of another seed.
  void manual_seed(uint64_t seed);
  /// i64[2]: seed and counter. With set_state() a later run goes on with the same numbers.
  Tensor state() const;
  /// Throws UserError when it is not i64[2].
  void set_state(const Tensor& state);
  /// The state for the next `count` numbers, which are then used up: what rand(state, shape) and its like
  /// take.
  Tensor draw(int64_t count);

 private:
  mutable std::mutex mutex_;
  uint64_t seed_, counter_ = 0;
};

/// The generator of whoever names no other; the process has one. Its seed is 0 until manual_seed().
Generator& default_generator();
/// default_generator().manual_seed(seed)
void manual_seed(uint64_t seed);

/// Uniform in [0, 1), f32 or f64: multiples of 2^-24 or 2^-53.
Tensor rand(const Shape& shape, DType dtype = DType::f32, Generator& generator = default_generator());
/// Normal with mean 0 and variance 1, f32 or f64.
Tensor randn(const Shape& shape, DType dtype = DType::f32, Generator& generator = default_generator());
/// Integers low, ..., high - 1 as i64, each equally likely to within 2^-53 (high - low). Throws UserError
/// when there are none or a bound is beyond 2^52.
Tensor randint(int64_t low, int64_t high, const Shape& shape, Generator& generator = default_generator());
/// x with each element made zero with probability p, and the others divided by 1 - p, so that means stay
/// (Srivastava et al. 2014); x itself when not training or p is 0. Throws UserError for p outside of [0, 1]
/// and dtypes other than f32 and f64.
Tensor dropout(const Tensor& x, double p, bool training = true, Generator& generator = default_generator());

}  // namespace calque

#pragma GCC visibility pop
