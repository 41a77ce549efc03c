// Generated sums over rows: several results in one pass, at row counts up to a block and columns around the
// vector width.
#include <fmt/format.h>

#include <catch2/catch.hpp>

#include "tests/run/codegen_harness.h"

namespace calque::test {
namespace {

/// Bias gradient and two more sums that share their operands.
FusionText column_sums(DType dtype, int64_t rows, int64_t columns) {
  const Type x{dtype, {rows, columns}}, y{dtype, {columns}}, kept{dtype, {1, columns}};
  return {{x, x, {dtype, {rows, 1}}, y},
          {y, kept, y},
          Domain::columns,
          rows,
          columns,
          fmt::format("%0 = mul %x0, %x1 : {0}\n %1 = sum %0 {{keepdim = false, axes = [0]}} : {1}\n"
                      " %2 = sum %x0 {{keepdim = true, axes = [0]}} : {2}\n %3 = mul %x1, %x2 : {0}\n"
                      " %4 = add %3, %x3 : {0}\n %5 = sum %4 {{keepdim = false, axes = [0]}} : {1}\n"
                      " %6 = mul %5, %x3 : {1}\n return %1, %2, %6",
                      to_string(x), to_string(y), to_string(kept))};
}

TEST_CASE("sums over rows take the rows in order") {
  for (int64_t rows : {0, 1, 2, 3, 16, 63, 64})
    for (int64_t columns : {2, 5, 16, 31, 33, 100, 300})
      check_against_interpreter(to_text(column_sums(DType::f32, rows, columns)), {.row_gap = 3});
}

TEST_CASE("sums over rows of every number type, in parts") {
  for (DType dtype : {DType::f32, DType::f64, DType::i32, DType::i64})
    check_against_interpreter(to_text(column_sums(dtype, 20, 90)), {.splits = {1, 17, 64}});
}

TEST_CASE("largest elements over rows, of slices and of expensive values") {
  const std::string block =
      "%0 = slice %x0 {axis = 1, start = 3, stop = 53} : f32[9,50]\n %1 = tanh %0 : f32[9,50]\n"
      " %2 = max %1 {keepdim = false, axes = [0]} : f32[50]\n %3 = sum %1 {keepdim = false, axes = [0]} : "
      "f32[50]\n"
      " %4 = sub %2, %3 : f32[50]\n return %2, %4";
  const Type y{DType::f32, {50}};
  check_against_interpreter(to_text({{{DType::f32, {9, 60}}}, {y, y}, Domain::columns, 9, 50, block}));
}

}  // namespace
}  // namespace calque::test
