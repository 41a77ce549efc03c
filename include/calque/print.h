// How tensors are printed: as NumPy's repr() does, with `tensor` for `array` and this library's names of dtypes.
#pragma once

#include <cstdint>
#include <string>

#include "calque/tensor.h"

#pragma GCC visibility push(default)

namespace calque {

/// The names and defaults are those of numpy.set_printoptions.
struct PrintOptions {
  int precision = 8;           // most digits after the point; fewer where fewer tell the number from its neighbours
  int64_t threshold = 1000;    // with more elements the middle of each axis is left out: `...`
  int64_t edge_items = 3;      // elements at either end of an axis that is shortened
  int line_width = 75;         // characters after which rows are broken
  bool suppress_small = false; // small numbers are printed as 0.0000 instead of making all of them 1.e-05
};

/// `tensor([1. , 2.5], dtype=f32)`. The dtype stands there where NumPy's repr would have it: unless it is f64, i64 or bool; the
/// shape where elements were left out or there are none.
std::string to_string(const Tensor& tensor, const PrintOptions& options);
/// With the options of operator<<.
std::string to_string(const Tensor& tensor);

/// Options of operator<<, the same for the whole process.
PrintOptions print_options();
/// Throws UserError for a precision outside 0 to 100, negative numbers of elements, or a line shorter than 1.
void set_print_options(const PrintOptions& options);

}  // namespace calque

#pragma GCC visibility pop
