// Generated row-wise chains: reductions by the lane tree, stages, slices, concat and pad, broadcast operands.
#include <fmt/format.h>

#include <catch2/catch.hpp>

#include "tests/run/codegen_harness.h"

namespace calque::test {
namespace {

const int64_t kWidths[] = {1, 5, 16, 31, 32, 33, 100, 1024, 4096};

std::vector<Literal> plain_inputs(const FusionText& fusion) {
  std::vector<Literal> inputs;
  for (const Type& type : fusion.inputs) inputs.push_back(plain_sample(type, 7 + inputs.size()));
  return inputs;
}

void check_plain(const FusionText& fusion, const RunOptions& options = {}) {
  check_against_interpreter(to_text(fusion), plain_inputs(fusion), options);
}

TEST_CASE("sum and max follow the lane tree at every width") {
  for (int64_t width : kWidths)
    for (DType dtype : {DType::f32, DType::f64, DType::i32, DType::i64}) {
      const Type x{dtype, {3, width}}, y{dtype, {3, 1}};
      const std::string block = fmt::format(
          "%0 = sum %x0 {{keepdim = true, axes = [1]}} : {0}\n %1 = max %x0 {{keepdim = true, axes = [1]}} : "
          "{0}\n"
          " return %0, %1",
          to_string(y));
      const FusionText fusion{{x}, {y, y}, Domain::rows, 3, width, block};
      check_plain(fusion, {.row_gap = 3});
      check_against_interpreter(to_text(fusion), {.splits = {1}});  // with NaN, infinities and both zeros
    }
}

TEST_CASE("of zeros that differ in sign, max keeps the one that its tree meets first") {
  for (int64_t width : {2, 31, 40, 48, 72, 100, 1000, 1016})
    for (DType dtype : {DType::f32, DType::f64}) {
      const Type x{dtype, {50, width}}, y{dtype, {50, 1}};
      Literal zeros = plain_sample(x, 11);
      with_element_type(dtype, [&]<class T>(T) {
        if constexpr (std::is_floating_point_v<T>)
          for (T& element : zeros.as<T>()) element = element < 0 ? T(-0.0) : T(0);
      });
      const std::string block =
          fmt::format("%0 = max %x0 {{keepdim = true, axes = [1]}} : {}\n return %0", to_string(y));
      check_against_interpreter(to_text({{x}, {y}, Domain::rows, 50, width, block}), {&zeros, 1});
    }
}

TEST_CASE("an empty axis sums to zero") {
  check_plain({{{DType::f32, {2, 0}}},
               {{DType::f32, {2, 1}}},
               Domain::rows,
               2,
               0,
               "%0 = sum %x0 {keepdim = true, axes = [1]} : f32[2,1]\n return %0"});
  check_plain({{{DType::f32, {0, 8}}},
               {{DType::f32, {0, 1}}},
               Domain::rows,
               0,
               8,
               "%0 = sum %x0 {keepdim = true, axes = [1]} : f32[0,1]\n return %0"});
}

TEST_CASE("softmax joins two reductions and an expensive value that is kept between stages") {
  for (int64_t width : kWidths)
    for (const char* dtype : {"f32", "f64"}) {
      const DType type = *dtype_named(dtype);
      const std::string block = fmt::format(
          "%0 = max %x0 {{keepdim = true, axes = [1]}} : {0}[4,1]\n %1 = sub %x0, %0 : {0}[4,{1}]\n"
          " %2 = exp %1 : {0}[4,{1}]\n %3 = sum %2 {{keepdim = true, axes = [1]}} : {0}[4,1]\n"
          " %4 = div %2, %3 : {0}[4,{1}]\n %5 = log %3 : {0}[4,1]\n %6 = sub %1, %5 : {0}[4,{1}]\n return "
          "%4, %6, %3",
          dtype, width);
      const Type x{type, {4, width}};
      check_plain({{x}, {x, x, {type, {4, 1}}}, Domain::rows, 4, width, block},
                  {.row_gap = 1, .splits = {2, 3}});
    }
}

/// Layer norm on the gates of an LSTM cell, with the values that its gradient reads.
FusionText layer_norm_lstm(int64_t rows, int64_t hidden) {
  const int64_t gates = 4 * hidden;
  const std::string wide = fmt::format("f32[{},{}]", rows, gates),
                    narrow = fmt::format("f32[{},{}]", rows, hidden), one = fmt::format("f32[{},1]", rows);
  FusionText fusion;
  fusion.domain = Domain::rows;
  fusion.rows = rows;
  fusion.columns = gates;
  fusion.inputs = {{DType::f32, {rows, gates}}, {DType::f32, {gates}}, {DType::f32, {rows, hidden}}};
  fusion.block = fmt::format(
      "%0 = add %x0, %x1 : {0}\n %1 = sum %0 {{keepdim = true, axes = [1]}} : {2}\n"
      " %2 = full {{value = {3}, dtype = f32, shape = []}} : f32[]\n %3 = div %1, %2 : {2}\n %4 = sub %0, %3 "
      ": {0}\n"
      " %5 = mul %4, %4 : {0}\n %6 = sum %5 {{keepdim = true, axes = [1]}} : {2}\n %7 = div %6, %2 : {2}\n"
      " %8 = full {{value = 1e-05, dtype = f32, shape = []}} : f32[]\n %9 = add %7, %8 : {2}\n %10 = rsqrt "
      "%9 : {2}\n"
      " %11 = mul %4, %10 : {0}\n %12 = split %11 {{parts = 4, axis = 1}} : ({1}, {1}, {1}, {1})\n"
      " %13 = sigmoid %12.1 : {1}\n %14 = mul %13, %x2 : {1}\n %15 = sigmoid %12.0 : {1}\n %16 = tanh %12.2 "
      ": {1}\n"
      " %17 = mul %15, %16 : {1}\n %18 = add %14, %17 : {1}\n %19 = sigmoid %12.3 : {1}\n %20 = tanh %18 : "
      "{1}\n"
      " %21 = mul %19, %20 : {1}\n return %21, %18, %13, %15, %16, %19, %20, %10",
      wide, narrow, one, gates);
  const Type result{DType::f32, {rows, hidden}};
  fusion.results.assign(7, result);
  fusion.results.push_back({DType::f32, {rows, 1}});
  return fusion;
}

TEST_CASE("layer norm and the LSTM cell in one kernel") {
  for (int64_t hidden : {1, 7, 25, 64, 256})
    check_plain(layer_norm_lstm(5, hidden), {.row_gap = 2, .splits = {1, 4}});
}

TEST_CASE("operands broadcast as rows, columns and single elements") {
  const std::string block =
      "%0 = add %x0, %x1 : f64[6,50]\n %1 = mul %0, %x2 : f64[6,50]\n %2 = sub %1, %x3 : f64[6,50]\n"
      " %3 = mul %2, %x4 : f64[6,50]\n %4 = add %x2, %x3 : f64[6,1]\n %5 = mul %x1, %x1 : f64[50]\n return "
      "%3, %4, %5, %x2";
  const Type x{DType::f64, {6, 50}}, column{DType::f64, {6, 1}}, vector{DType::f64, {50}},
      one{DType::f64, {}};
  check_plain({{x, vector, column, one, {DType::f64, {1, 50}}},
               {x, column, vector, column},
               Domain::rows,
               6,
               50,
               block},
              {.row_gap = 5});
}

TEST_CASE("slices and splits shift columns, of operands and of computed values") {
  for (int64_t width : {4, 12, 64, 100, 1024}) {
    const int64_t half = width / 2;
    const std::string block = fmt::format(
        "%0 = exp %x0 : f32[3,{0}]\n %1 = split %0 {{parts = 2, axis = 1}} : (f32[3,{1}], f32[3,{1}])\n"
        " %2 = mul %1.0, %1.1 : f32[3,{1}]\n %3 = slice %x0 {{axis = 1, start = 1, stop = {2}}} : "
        "f32[3,{1}]\n"
        " %4 = add %2, %3 : f32[3,{1}]\n %5 = sum %4 {{keepdim = true, axes = [1]}} : f32[3,1]\n"
        " %6 = slice %0 {{axis = 1, start = 2, stop = 3}} : f32[3,1]\n %7 = mul %5, %6 : f32[3,1]\n"
        " %8 = mul %1.1, %7 : f32[3,{1}]\n %9 = sub %0, %5 : f32[3,{0}]\n return %4, %8, %9, %7",
        width, half, half + 1);
    const Type wide{DType::f32, {3, width}}, narrow{DType::f32, {3, half}};
    check_plain({{wide}, {narrow, narrow, wide, {DType::f32, {3, 1}}}, Domain::rows, 3, width, block},
                {.row_gap = 1});
  }
}

TEST_CASE("concat and pad are made in memory, in results and in scratch rows") {
  const std::string block =
      "%0 = tanh %x0 : f32[2,19]\n %1 = concat %0, %x1, %x2 {axis = 1} : f32[2,53]\n"
      " %2 = pad %0 {axis = 1, before = 17, after = 4} : f32[2,40]\n %3 = sum %1 {keepdim = true, axes = "
      "[1]} : f32[2,1]\n"
      " %4 = mul %1, %3 : f32[2,53]\n %5 = concat %1, %2, %3 {axis = 1} : f32[2,94]\n"
      " %6 = slice %2 {axis = 1, start = 3, stop = 22} : f32[2,19]\n %7 = add %6, %0 : f32[2,19]\n return "
      "%4, %5, %7, %5, %1";
  const auto f32 = [](int64_t width) { return Type{DType::f32, {2, width}}; };
  check_plain(
      {{f32(19), f32(33), f32(1)}, {f32(53), f32(94), f32(19), f32(94), f32(53)}, Domain::rows, 2, 19, block},
      {.row_gap = 4});
}

TEST_CASE("masks pass through rows: bool results, scratch rows and reductions of chosen elements") {
  const std::string block =
      "%0 = exp %x0 : f32[3,37]\n %1 = less %0, %x1 : bool[3,37]\n %2 = sum %0 {keepdim = true, axes = [1]} "
      ": f32[3,1]\n"
      " %3 = logical_not %1 : bool[3,37]\n %4 = where %3, %0, %2 : f32[3,37]\n %5 = cast %1 {dtype = i64} : "
      "i64[3,37]\n"
      " %6 = sum %5 {keepdim = true, axes = [1]} : i64[3,1]\n %7 = max %4 {keepdim = true, axes = [1]} : "
      "f32[3,1]\n"
      " %8 = greater %7, %2 : bool[3,1]\n %9 = logical_or %8, %1 : bool[3,37]\n return %4, %6, %9, %8, %1";
  const Type x{DType::f32, {3, 37}}, mask{DType::boolean, {3, 37}};
  check_plain({{x, {DType::f32, {}}},
               {x, {DType::i64, {3, 1}}, mask, {DType::boolean, {3, 1}}, mask},
               Domain::rows,
               3,
               37,
               block},
              {.row_gap = 2});
}

TEST_CASE("ranges and views of more than two axes in rows") {
  const std::string block =
      "%0 = arange {stop = 20, dtype = i64} : i64[20]\n %1 = reshape %x1 {shape = [2,3,1]} : i64[2,3,1]\n"
      " %2 = equal %0, %1 : bool[2,3,20]\n %3 = full {value = 0, dtype = f32, shape = []} : f32[]\n"
      " %4 = where %2, %x0, %3 : f32[2,3,20]\n %5 = sum %4 {keepdim = true, axes = [2]} : f32[2,3,1]\n"
      " %6 = reshape %5 {shape = [6,1]} : f32[6,1]\n %7 = expand %5 {shape = [2,3,20]} : f32[2,3,20]\n "
      "return %6, %7";
  const FusionText fusion{{{DType::f32, {2, 3, 20}}, {DType::i64, {6, 1}}},
                          {{DType::f32, {6, 1}}, {DType::f32, {2, 3, 20}}},
                          Domain::rows,
                          6,
                          20,
                          block};
  std::vector<Literal> inputs = plain_inputs(fusion);
  for (int64_t i = 0; i < 6; ++i) inputs[1].as<int64_t>()[i] = 3 * i;
  check_against_interpreter(to_text(fusion), inputs);
}

}  // namespace
}  // namespace calque::test
