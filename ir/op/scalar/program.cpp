// Records every formula of the elementwise table once for each dtype that its signature takes.
#include "ir/op/scalar/program.h"

#include <array>
#include <mutex>

#include "ir/op/error.h"
#include "ir/op/scalar/recorder.h"
// after the recorder: formulas find the engine's functions by argument-dependent look-up
#include "ir/op/scalar/formulas.h"
#include "ir/op/scalar/random_formulas.h"

namespace calque {

namespace recorder {

static thread_local ScalarProgram* current = nullptr;

int record(ScalarNode node) {
  for (size_t i = 0; i < current->nodes.size(); ++i)
    if (current->nodes[i] == node) return static_cast<int>(i);
  current->nodes.push_back(node);
  return static_cast<int>(current->nodes.size()) - 1;
}

template <class X>
static X argument(int number, ScalarType type) {
  return {node(Primitive::argument, type, -1, -1, -1, number)};
}
template <class X>
static X argument(int number) {
  if constexpr (std::is_same_v<X, Mask>) return argument<X>(number, ScalarType::mask);
  else return argument<X>(number, kScalarType<typename X::Scalar>);
}

/// Each row's formula as a function template: `formulas::tanh<X>(x)`.
namespace formulas {
#define UNARY(name, signature, formula, ...) \
  template <class X>                         \
  auto name(X x) { return formula; }
#define BINARY(name, signature, formula, ...) \
  template <class X>                          \
  auto name(X a, X b) { return formula; }
#define SELECT(name, formula, ...) \
  template <class X>               \
  auto name(Mask mask, X a, X b) { return formula; }
#include "ir/op/elementwise.def"
}  // namespace formulas

/// Calls f with the engine type of each dtype that a signature takes.
template <Signature signature, class F>
static void for_dtype(DType dtype, F f) {
  using enum Signature;
  constexpr bool any = signature == equality || signature == select;
  if constexpr (signature == logical || any)
    if (dtype == DType::boolean) f(Mask{});
  if constexpr (signature != logical && signature != integral && signature != word) {
    if (dtype == DType::f32) f(Number<float>{});
    if (dtype == DType::f64) f(Number<double>{});
  }
  if constexpr (signature != logical && signature != floating) {
    if constexpr (signature != word)
      if (dtype == DType::i32) f(Number<int32_t>{});
    if (dtype == DType::i64) f(Number<int64_t>{});
  }
}

static ScalarProgram record_row(Op op, DType dtype) {
  ScalarProgram program;
  current = &program;
  switch (op) {
#define UNARY(name, signature, ...)                                                  \
  case Op::name:                                                                     \
    for_dtype<Signature::signature>(dtype, [&](auto engine) {                        \
      using X = decltype(engine);                                                    \
      program.result = formulas::name(argument<X>(0)).id;                            \
    });                                                                              \
    break;
#define BINARY(name, signature, ...)                                                 \
  case Op::name:                                                                     \
    for_dtype<Signature::signature>(dtype, [&](auto engine) {                        \
      using X = decltype(engine);                                                    \
      const X a = argument<X>(0), b = argument<X>(1);                                \
      program.result = formulas::name(a, b).id;                                      \
    });                                                                              \
    break;
#define SELECT(name, ...)                                                            \
  case Op::name:                                                                     \
    for_dtype<Signature::select>(dtype, [&](auto engine) {                           \
      using X = decltype(engine);                                                    \
      const Mask mask = argument<Mask>(0);                                           \
      const X a = argument<X>(1), b = argument<X>(2);                                \
      program.result = formulas::name(mask, a, b).id;                                \
    });                                                                              \
    break;
#include "ir/op/elementwise.def"
    default: break;
  }
  current = nullptr;
  return program;
}

static ScalarProgram record_cast(DType from, DType to) {
  ScalarProgram program;
  current = &program;
  const int x = node(Primitive::argument, scalar_type(from), -1, -1, -1, 0);
  if (from == to) program.result = x;
  else if (to == DType::boolean) {
    const int zero = node(Primitive::constant, scalar_type(from));
    program.result = node(Primitive::not_equal, ScalarType::mask, x, zero);
  } else {
    program.result = node(Primitive::convert, scalar_type(to), x);
  }
  current = nullptr;
  return program;
}

}  // namespace recorder

ScalarType scalar_type(DType dtype) {
  switch (dtype) {
    case DType::f32: return ScalarType::f32;
    case DType::f64: return ScalarType::f64;
    case DType::i32: return ScalarType::i32;
    case DType::i64: return ScalarType::i64;
    case DType::boolean: return ScalarType::mask;
  }
  return ScalarType::mask;
}

const ScalarProgram& scalar_program(Op op, DType input, DType target) {
  constexpr int kDTypes = std::size(kAllDTypes);
  static std::array<std::array<std::array<ScalarProgram, kDTypes>, kDTypes>, kOpCount> programs;
  static std::mutex mutex;
  const std::lock_guard lock(mutex);
  ScalarProgram& program = programs[int(op)][int(input)][op == Op::cast ? int(target) : 0];
  if (program.result < 0)
    program = op == Op::cast ? recorder::record_cast(input, target) : recorder::record_row(op, input);
  if (program.result < 0) throw InternalError("no scalar program for this op and dtype");
  return program;
}

}  // namespace calque
