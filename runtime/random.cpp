// The generators' states, and the public functions that draw.
#include "calque/random.h"

#include <fmt/format.h>

#include <array>

#include "ir/op/error.h"
#include "runtime/dispatch.h"

namespace calque {

namespace {

#define CALQUE_USER_LOCATION __builtin_extract_return_addr(__builtin_return_address(0))

Tensor state_tensor(uint64_t seed, uint64_t counter) {
  const std::array<int64_t, 2> words{static_cast<int64_t>(seed), static_cast<int64_t>(counter)};
  return from_span(std::span<const int64_t>(words), Shape{2});
}

Tensor drawn(Op op, Generator& generator, const Shape& shape, const Attributes& attributes,
             const void* location) {
  // Types are checked before anything is drawn.
  const Type state_type{DType::i64, Shape{2}};
  Attributes checked = attributes;
  infer(op, {&state_type, 1}, checked);
  const Tensor state[] = {generator.draw(shape.element_count())};
  return run_op(op, state, attributes, location)[0];
}

}  // namespace

void Generator::manual_seed(uint64_t seed) {
  const std::lock_guard lock(mutex_);
  seed_ = seed;
  counter_ = 0;
}

Tensor Generator::state() const {
  const std::lock_guard lock(mutex_);
  return state_tensor(seed_, counter_);
}

void Generator::set_state(const Tensor& state) {
  const Type type{state.dtype(), state.shape()};
  if (type != Type{DType::i64, Shape{2}})
    throw UserError(fmt::format("set_state: the state is i64[2], seed and counter, not {}", to_string(type)));
  const std::vector<int64_t> words = state.to_vector<int64_t>();
  const std::lock_guard lock(mutex_);
  seed_ = static_cast<uint64_t>(words[0]);
  counter_ = static_cast<uint64_t>(words[1]);
}

Tensor Generator::draw(int64_t count) {
  Tensor state;
  {
    const std::lock_guard lock(mutex_);
    state = state_tensor(seed_, counter_);
    counter_ += static_cast<uint64_t>(count);
  }
  if (Observer* observer = thread_state.observer; observer && this == &default_generator())
    observer->drawn(count, state);
  return state;
}

Generator& default_generator() {
  static Generator* generator = new Generator;  // never destroyed: static destructors may draw
  return *generator;
}

void manual_seed(uint64_t seed) { default_generator().manual_seed(seed); }

Tensor rand(const Shape& shape, DType dtype, Generator& generator) {
  return drawn(Op::rand, generator, shape, Attributes::of(dtype, Ints(shape)), CALQUE_USER_LOCATION);
}

Tensor randn(const Shape& shape, DType dtype, Generator& generator) {
  return drawn(Op::randn, generator, shape, Attributes::of(dtype, Ints(shape)), CALQUE_USER_LOCATION);
}

Tensor randint(int64_t low, int64_t high, const Shape& shape, Generator& generator) {
  return drawn(Op::randint, generator, shape, Attributes::of(low, high, Ints(shape)), CALQUE_USER_LOCATION);
}

Tensor dropout(const Tensor& x, double p, bool training, Generator& generator) {
  if (!(p >= 0 && p <= 1))
    throw UserError(fmt::format("dropout: the probability {} is not within 0 and 1", p));
  if (!is_floating(x.dtype()))
    throw UserError(fmt::format("dropout: {} is not taken; it takes f32 or f64", name(x.dtype())));
  if (!training || p == 0) return x;
  const Tensor inputs[] = {x, generator.draw(x.element_count())};
  return run_op(Op::dropout, inputs, Attributes::of(p), CALQUE_USER_LOCATION)[0];
}

}  // namespace calque
