// Operands of matrix products for random tests, in exactly the memory that they may touch.
#pragma once

#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "runtime/kernels/gemm.h"
#include "tests/unit/kernel_cases.h"

namespace calque::kernels {

template <class T>
bool same_bits(T a, T b) {
  return (std::isnan(a) && std::isnan(b)) || std::memcmp(&a, &b, sizeof a) == 0;
}

template <class T>
T random_value(Random& random, bool special) {
  if (special && pick(random, 0, 15) == 0) {
    const T values[] = {T(0),
                        T(-0.0),
                        std::numeric_limits<T>::infinity(),
                        -std::numeric_limits<T>::infinity(),
                        std::numeric_limits<T>::quiet_NaN(),
                        std::numeric_limits<T>::denorm_min(),
                        std::numeric_limits<T>::max(),
                        std::numeric_limits<T>::min()};
    return values[pick(random, 0, 7)];
  }
  return static_cast<T>(std::ldexp(std::uniform_real_distribution<double>(-1, 1)(random),
                                   static_cast<int>(pick(random, -3, 3))));
}

// Exactly the memory that a view may touch, so that a sanitizer sees any step beyond it.
template <class T>
struct Matrix {
  std::vector<T> memory;
  MatrixView<T> view;

  Matrix(Random& random, int64_t rows, int64_t cols, bool special) {
    if (rows == 0 || cols == 0) {  // nothing to point at
      view = {nullptr, cols, 1};
      return;
    }
    switch (pick(random, 0, 4)) {
      case 0:
        view = {nullptr, cols, 1};
        break;  // row-major
      case 1:
        view = {nullptr, 1, rows};
        break;  // transposed
      case 2:
        view = {nullptr, cols + pick(random, 1, 9), 1};
        break;  // a slice of a wider one
      case 3:
        view = {nullptr, 1, rows + pick(random, 1, 9)};
        break;  // the same transposed
      default:
        view = {nullptr, 2 * cols + 1, 2};
        break;  // every second column
    }
    memory.resize((rows - 1) * view.row_stride + (cols - 1) * view.col_stride + 1);
    for (T& x : memory) x = random_value<T>(random, special);
    view.data = memory.data();
  }
};

}  // namespace calque::kernels
