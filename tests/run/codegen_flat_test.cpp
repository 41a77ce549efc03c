// Generated maps: every elementwise op and cast on every dtype, at sizes around the vector width, in place
// and in parts.
#include <fmt/format.h>

#include <catch2/catch.hpp>

#include "ir/op/error.h"
#include "tests/run/codegen_harness.h"

namespace calque::test {
namespace {

const int64_t kSizes[] = {0, 1, 15, 16, 17, 33, 100};

/// Input types that an elementwise op takes for `dtype`; empty if it does not take it.
std::vector<Type> operands_of(Op op, DType dtype, const Shape& shape) {
  const OpRow& entry = row(op);
  std::vector<Type> types(entry.inputs, Type{dtype, shape});
  if (entry.signature == Signature::select) types[0].dtype = DType::boolean;
  Attributes attributes;
  try {
    infer(op, types, attributes);
  } catch (const UserError&) {
    return {};
  }
  return types;
}

FusionText one_op(Op op, const std::vector<Type>& types, int64_t n) {
  Attributes attributes;
  FusionText fusion{types, infer(op, types, attributes), Domain::flat, 1, n, ""};
  std::string operands;
  for (size_t i = 0; i < types.size(); ++i) operands += (i ? ", " : "") + fmt::format("%x{}", i);
  fusion.block =
      fmt::format("%0 = {} {} : {}\n    return %0", row(op).name, operands, to_string(fusion.results[0]));
  return fusion;
}

TEST_CASE("every elementwise op on every dtype gives the interpreter's bits") {
  for (int i = 0; i < kOpCount; ++i) {
    const Op op = static_cast<Op>(i);
    if (row(op).kind != OpKind::elementwise || op == Op::cast) continue;
    for (DType dtype : kAllDTypes) {
      if (operands_of(op, dtype, {4}).empty()) continue;
      for (int64_t n : {int64_t{33}, int64_t{1500}}) {
        const std::vector<Type> types = operands_of(op, dtype, {n});
        check_against_interpreter(to_text(one_op(op, types, n)));
      }
    }
  }
}

TEST_CASE("maps run at every size, with scalars, in parts and in place") {
  for (int64_t n : kSizes) {
    for (DType dtype : {DType::f32, DType::i64}) {
      const Type all{dtype, {n}}, one{dtype, {}};
      const FusionText fusion{{all, one, all},
                              {all, {DType::boolean, {n}}},
                              Domain::flat,
                              1,
                              n,
                              fmt::format("%0 = mul %x0, %x1 : {0}\n %1 = sub %0, %x2 : {0}\n"
                                          " %2 = less %1, %x0 : bool[{1}]\n return %1, %2",
                                          to_string(all), n)};
      check_against_interpreter(to_text(fusion));
      check_against_interpreter(to_text(fusion), {.splits = {0, 1, 7, 24}});
      check_against_interpreter(to_text(fusion), {.in_place_input = 2});
      check_against_interpreter(to_text(fusion), {.in_place_input = 0, .splits = {16}});
    }
  }
}

TEST_CASE("casts between all dtypes saturate as the interpreter's") {
  for (DType from : kAllDTypes)
    for (DType to : kAllDTypes) {
      const Type x{from, {2000}}, y{to, {2000}};
      const std::string block =
          fmt::format("%0 = cast %x0 {{dtype = {}}} : {}\n return %0", name(to), to_string(y));
      check_against_interpreter(to_text({{x}, {y}, Domain::flat, 1, 2000, block}));
    }
}

TEST_CASE("constants, ranges and views of whole tensors are maps") {
  for (DType dtype : {DType::f32, DType::f64, DType::i32, DType::i64}) {
    const Type x{dtype, {3, 7}}, y{dtype, {21}};
    const std::string block = fmt::format(
        "%0 = reshape %x0 {{shape = [21]}} : {0}\n %1 = arange {{stop = 21, dtype = {1}}} : {0}\n %2 = mul "
        "%0, %1 : {0}\n"
        " %3 = full {{value = -2.5, dtype = {1}, shape = []}} : {1}[]\n %4 = expand %3 {{shape = [21]}} : "
        "{0}\n"
        " %5 = add %2, %4 : {0}\n return %5",
        to_string(y), name(dtype));
    check_against_interpreter(to_text({{x}, {y}, Domain::flat, 1, 21, block}), {.splits = {5}});
  }
}

TEST_CASE("f32 and f64 meet in one kernel") {
  const std::string block =
      "%0 = cast %x0 {dtype = f64} : f64[45]\n %1 = exp %0 : f64[45]\n %2 = cast %1 {dtype = f32} : f32[45]\n"
      " %3 = tanh %x0 : f32[45]\n %4 = add %2, %3 : f32[45]\n %5 = cast %x1 {dtype = f32} : f32[45]\n"
      " %6 = where %x1, %4, %5 : f32[45]\n return %6, %1";
  check_against_interpreter(to_text({{{DType::f32, {45}}, {DType::boolean, {45}}},
                                     {{DType::f32, {45}}, {DType::f64, {45}}},
                                     Domain::flat,
                                     1,
                                     45,
                                     block}));
}

}  // namespace
}  // namespace calque::test
