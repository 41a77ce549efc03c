// Bodies of the random composites: Philox of (seed, counter + position), and the distributions made of it.
#include <fmt/format.h>

#include <cmath>
#include <vector>

#include "ir/op/emitter.h"
#include "ir/op/error.h"

namespace calque {

namespace {

constexpr double kWords = 0x1p53;  // philox gives integers below it

Value range(Emitter& emitter, int64_t stop) {
  return emitter.emit(Op::arange, {}, Attributes::of(stop, DType::i64))[0];
}

/// The numbers 0, 1, 2, ... in the row-major order of a shape; row by row, so that they become the index of a
/// fused loop.
Value positions(Emitter& emitter, const Shape& shape) {
  if (shape.rank() == 0) return reshape(range(emitter, 1), {});
  const Value columns = range(emitter, shape.back());
  if (shape.rank() == 1) return columns;
  Shape outer = shape;
  outer.set(shape.rank() - 1, 1);
  const Value rows = reshape(range(emitter, outer.element_count()), outer);
  return rows * static_cast<double>(shape.back()) + columns;
}

/// An integer in [0, 2^53) for each element.
Value words(Emitter& emitter, const Value& state, const Shape& shape, const char* op) {
  const Type type = type_of(state);
  if (type != Type{DType::i64, Shape{2}})
    throw UserError(fmt::format("{}: the state is i64[2], seed and counter, not {}", op, to_string(type)));
  const Value seed = reshape(slice(state, 0, 0, 1), {}), counter = reshape(slice(state, 0, 1, 2), {});
  return philox(seed, counter + positions(emitter, shape));
}

void check_floating(DType dtype, const char* op) {
  if (!is_floating(dtype))
    throw UserError(fmt::format("{}: {} is not taken; it takes f32 or f64", op, name(dtype)));
}

}  // namespace

Value body_rand(Emitter& emitter, std::span<const Value> inputs, const Attributes& attributes) {
  const DType dtype = attributes.dtype(0);
  check_floating(dtype, "rand");
  const Value integer = cast(words(emitter, inputs[0], Shape(attributes.list(1)), "rand"), DType::f64);
  if (dtype == DType::f64) return integer * (1 / kWords);
  return cast(floor(integer * 0x1p-29), DType::f32) * 0x1p-24;
}

/// Of 52 bits and a half, so that it is symmetric and never 0 or 1.
Value body_randn(Emitter& emitter, std::span<const Value> inputs, const Attributes& attributes) {
  const DType dtype = attributes.dtype(0);
  check_floating(dtype, "randn");
  const Value integer = cast(words(emitter, inputs[0], Shape(attributes.list(1)), "randn"), DType::f64);
  const Value normal = ndtri((floor(integer * 0.5) + 0.5) * (2 / kWords));
  return dtype == DType::f64 ? normal : cast(normal, dtype);
}

/// The product is below high - low also when rounded, since the uniform factor has 53 bits; no integer is off
/// its share by more than (high - low) / 2^53 of it.
Value body_randint(Emitter& emitter, std::span<const Value> inputs, const Attributes& attributes) {
  constexpr int64_t kBound = int64_t{1} << 52;
  const int64_t low = attributes[0], high = attributes[1];
  if (low >= high || low < -kBound || high > kBound)
    throw UserError(fmt::format("randint: the range [{}, {}) is empty or reaches beyond 2^52", low, high));
  const Value integer = cast(words(emitter, inputs[0], Shape(attributes.list(2)), "randint"), DType::f64);
  const Value offset = cast(integer * (1 / kWords) * static_cast<double>(high - low), DType::i64);
  return offset + static_cast<double>(low);
}

Value body_dropout(Emitter& emitter, std::span<const Value> inputs, const Attributes& attributes) {
  const Value& x = inputs[0];
  const Type type = type_of(x);
  const double p = attributes.number(0);
  check_floating(type.dtype, "dropout");
  if (!(p >= 0 && p <= 1))
    throw UserError(fmt::format("dropout: the probability {} is not within 0 and 1", p));
  const Value kept = words(emitter, inputs[1], type.shape, "dropout") >= std::ceil(p * kWords);
  return where(kept, p < 1 ? x * (1 / (1 - p)) : x, 0.0);
}

}  // namespace calque
