// Programs whose plain numbers change: rates, constants that are no ordinary numbers, bounds, axes, sizes.
#include <cmath>
#include <limits>
#include <random>

#include "tests/run/footguns.h"

namespace calque {

namespace {

Program learning_rate() {
  return {[rate = 0.1](const Tensors& in) mutable -> Tensors {
    rate *= 0.9;
    return {in[0] - rate * tanh(in[1])};
  }};
}

Program global_number() {
  static double factor;
  factor = 1;
  return {[](const Tensors& in) -> Tensors { return {in[0] * factor}; },
          [](const Function& f, int call) {
            factor = call + 1;
            return drive_on_two_matrices(f, call);
          }};
}

Program filled_tensor() {
  return {[rate = 0.1](const Tensors& in) mutable -> Tensors {
    rate *= 0.9;
    return {in[0] - full({9}, rate) * in[1]};
  }};
}

Program independent_numbers() {
  return {[calls = 0](const Tensors& in) mutable -> Tensors {
    const double a = calls / 2, b = calls % 3;
    ++calls;
    return {in[0] * a + b * in[1]};
  }};
}

Program number_and_branch() {
  return {[calls = 0](const Tensors& in) mutable -> Tensors {
    const double a = calls++ * 0.25;
    const Tensor y = in[0] * a;
    return {a > 1.0 ? exp(y) : sigmoid(y)};
  }};
}

Program signed_zero() {
  return {[calls = 0](const Tensors& in) mutable -> Tensors {
    const double zero = calls++ % 2 ? -0.0 : 0.0;
    return {in[0] * zero, full({3}, zero), 1.0 / (in[1] * zero)};
  }};
}

Program no_ordinary_numbers() {
  return {[calls = 0](const Tensors& in) mutable -> Tensors {
    constexpr double infinity = std::numeric_limits<double>::infinity();
    const double special[] = {infinity, -infinity, std::nan(""), 1e-310, 0x1p-149, 3.5e38};
    const double number = special[calls++ % 6];
    return {in[0] * number, where(in[0] > number, in[1], full({}, number)), maximum(in[1], full({}, number))};
  }};
}

Program nearly_the_same_number() {
  return {[calls = 0](const Tensors& in) mutable -> Tensors {
    const double third = 1.0 / 3.0, number = calls++ % 2 ? third : std::nextafter(third, 1.0);
    return {cast(in[0], DType::f64) * number};
  }};
}

Program numbers_of_a_generator() {
  return {[random = std::mt19937(11)](const Tensors& in) mutable -> Tensors {
    const double noise = std::uniform_real_distribution<double>()(random);
    return {in[0] + noise, in[1] * (1 - noise)};
  }};
}

Program rolling_window() {
  return {[calls = 0](const Tensors& in) mutable -> Tensors {
    const int64_t start = calls++ % 5;
    return {slice(in[0], 1, start, start + 4) * slice(in[1], 1, 2, 6)};
  }};
}

Program changing_axis() {
  return {[calls = 0](const Tensors& in) mutable -> Tensors {
    return {sum(tanh(in[0]), {calls++ % 2}, true) * in[1]};
  }};
}

Program changing_row() {
  return {[calls = 0](const Tensors& in) mutable -> Tensors {
    const int64_t row = calls++ * 3 % 4;
    return {select(in[0], 0, row) + take(in[1], from_vector<int64_t>({row, 3 - row}))};
  }};
}

Program number_read_from_a_tensor() {
  return {[](const Tensors& in) -> Tensors {
    const double mean_value = mean(in[1]).item();
    return {in[0] * mean_value, in[0] - mean_value};
  }};
}

Program size_in_a_formula() {
  return {[](const Tensors& in) -> Tensors {
            return {in[0] * (1.0 / std::sqrt(static_cast<double>(in[0].size(0))))};
          },
          [](const Function& f, int call) {
            return f({numbers({2 + call % 4, 3}, call)});
          }};
}

Program number_beside_a_tensor() {
  return {[](const Tensors& in) -> Tensors {
            const double multiplier = in[1].item();
            return {in[0] * 2.0, from_value(multiplier * 10)};
          },
          [](const Function& f, int call) {
            return f({numbers({5}, call), from_value(static_cast<int64_t>(call))});
          }};
}

Program dtype_by_flag() {
  return {[calls = 0](const Tensors& in) mutable -> Tensors {
    const DType dtype = calls++ % 3 == 1 ? DType::f64 : calls % 3 == 0 ? DType::i32 : DType::f32;
    return {cast(in[0] * 3.0, dtype), zeros({2}, dtype)};
  }};
}

}  // namespace

Footguns footguns_of_numbers() {
  return {
      {"a learning rate that changes in a closure", "bakes the first rate in", PureFate::reported,
       learning_rate, 10, 6},
      {"a number that is global", "bakes it in", PureFate::reported, global_number},
      {"a tensor filled with a changing number", "bakes it in", PureFate::reported, filled_tensor, 10, 6},
      {"two numbers that change independently", "confuses them, or records each pair", PureFate::reported,
       independent_numbers, 16, 10},
      {"a number that chooses a branch and is used in it", "guards one of the two uses", PureFate::reported,
       number_and_branch, 9, 3},
      {"0 and -0", "compares them and finds them equal", PureFate::reported, signed_zero, 8, 3},
      {"infinities, NaN and denormals as constants", "never matches NaN, or prints them wrongly",
       PureFate::reported, no_ordinary_numbers, 18, 6},
      {"numbers that differ in the last bit", "compares them as float", PureFate::reported,
       nearly_the_same_number, 8, 3},
      {"numbers of a random generator", "bakes the first ones in", PureFate::reported, numbers_of_a_generator,
       8, 4},
      {"a rolling window", "keeps the bounds of the first slice", PureFate::reported, rolling_window, 12, 5},
      {"an axis that changes", "keeps the first axis", PureFate::reported, changing_axis, 8, 4},
      {"a row number that changes", "keeps the first row", PureFate::matched, changing_row, 10, 4},
      {"a number read from a tensor", "bakes it in", PureFate::matched, number_read_from_a_tensor, 8, 4},
      {"a size in a formula", "keeps the first size", PureFate::entered, size_in_a_formula, 12, 6},
      {"a number returned beside a tensor", "returns the first one", PureFate::matched,
       number_beside_a_tensor},
      {"a dtype chosen by the host", "keeps the first one", PureFate::reported, dtype_by_flag, 9, 4},
  };
}

}  // namespace calque
