// Writes random tensors and how they are printed to a folder, for a judge outside of C++: scripts/judge_print.py runs this by its tag,
// with CALQUE_JUDGE_FOLDER set.
#include <fmt/format.h>

#include <catch2/catch.hpp>

#include <cmath>
#include <cstdlib>
#include <fstream>
#include <random>

#include "calque/nn/npy.h"
#include "calque/ops.h"
#include "calque/print.h"

using namespace calque;

namespace {

constexpr int kCases = 1500;

Shape random_shape(std::mt19937& dice) {
  std::vector<int64_t> sizes(dice() % 5);
  for (int64_t& size : sizes) size = dice() % 4 == 0 ? dice() % 40 : dice() % 5;
  return Shape(std::span<const int64_t>(sizes));
}

/// A number of one of the kinds that are printed in their own ways.
double random_number(std::mt19937& dice, int kind) {
  const double unit = static_cast<double>(dice()) / 4294967296.0 - 0.5;
  switch (kind) {
    case 0: return std::round(unit * 20);
    case 1: return unit * 10;
    case 2: return std::round(unit * 1000) / 100;
    case 3: return unit * std::pow(10.0, static_cast<int>(dice() % 12) - 4);
    case 4: return unit * std::pow(10.0, static_cast<int>(dice() % 60) - 30);
    case 5: return dice() % 6 == 0 ? NAN : dice() % 6 == 0 ? INFINITY : dice() % 6 == 0 ? -INFINITY : unit;
    default: return dice() % 2 ? 0.0 : -0.0;
  }
}

Tensor random_tensor(std::mt19937& dice) {
  constexpr DType kDtypes[] = {DType::f32, DType::f64, DType::i32, DType::i64, DType::boolean};
  const DType dtype = kDtypes[dice() % 5];
  const int kind = static_cast<int>(dice() % (dtype == DType::f32 || dtype == DType::f64 ? 7 : 4));
  const Shape shape = random_shape(dice);
  std::vector<double> values(static_cast<size_t>(shape.element_count()));
  for (double& value : values) value = random_number(dice, kind);
  return cast(from_vector(values, shape), dtype);
}

}  // namespace

TEST_CASE("random tensors and their texts, for a judge", "[.judge_print]") {
  const char* folder = std::getenv("CALQUE_JUDGE_FOLDER");
  REQUIRE(folder != nullptr);
  std::mt19937 dice(1);
  for (int i = 0; i < kCases; ++i) {
    const Tensor tensor = random_tensor(dice);
    const PrintOptions options = {.precision = dice() % 3 == 0 ? static_cast<int>(dice() % 12) : 8,
                                  .threshold = dice() % 3 == 0 ? static_cast<int64_t>(dice() % 50) : 1000,
                                  .edge_items = dice() % 3 == 0 ? static_cast<int64_t>(1 + dice() % 4) : 3,
                                  .line_width = dice() % 3 == 0 ? static_cast<int>(20 + dice() % 80) : 75,
                                  .suppress_small = dice() % 4 == 0};
    save_npy(fmt::format("{}/{}.npy", folder, i), tensor);
    std::ofstream text(fmt::format("{}/{}.txt", folder, i), std::ios::binary);
    text << options.precision << ' ' << options.threshold << ' ' << options.edge_items << ' ' << options.line_width << ' '
         << options.suppress_small << '\n'
         << to_string(tensor, options);
    REQUIRE(text.good());
  }
}
