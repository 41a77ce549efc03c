// Stacks of products against an obvious triple loop, in every bit: all levels, strides, team sizes, heights, and k in pieces.
#include "runtime/kernels/product_stack.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <string>
#include <vector>

#include "runtime/thread_pool.h"
#include "tests/unit/product_cases.h"

namespace calque::kernels {
namespace {

template <class T>
struct Stack {
  int64_t n, k;
  Matrix<T> b;
  std::vector<int64_t> heights;
  std::vector<Matrix<T>> lefts;
  std::vector<std::vector<T>> results;  // before
  std::vector<int64_t> row_strides;

  Stack(Random& random, std::vector<int64_t> rows, int64_t n, int64_t k, bool special)
      : n(n), k(k), b(random, k, n, special), heights(std::move(rows)) {
    for (const int64_t m : heights) {
      lefts.emplace_back(random, m, k, special);
      row_strides.push_back(n + pick(random, 0, 2) * 3);
      results.emplace_back(m * row_strides.back());
      for (T& x : results.back()) x = random_value<T>(random, special);
    }
  }

  ProductStack<T> into(std::vector<std::vector<T>>& c, std::vector<StackedRows<T>>& blocks) const {
    for (size_t i = 0; i < heights.size(); ++i) blocks.push_back({heights[i], lefts[i].view, c[i].data(), row_strides[i]});
    return {blocks.data(), static_cast<int64_t>(blocks.size()), b.view, n, k};
  }

  std::vector<std::vector<T>> expected() const {
    std::vector<std::vector<T>> c = results;
    for (size_t i = 0; i < heights.size(); ++i)
      for (int64_t row = 0; row < heights[i]; ++row)
        for (int64_t column = 0; column < n; ++column) {
          T& chain = c[i][row * row_strides[i] + column];
          chain = T{0};
          const MatrixView<T>&x = lefts[i].view, &y = b.view;
          for (int64_t at = 0; at < k; ++at)
            chain = std::fma(x.data[row * x.row_stride + at * x.col_stride], y.data[at * y.row_stride + column * y.col_stride],
                             chain);
        }
    return c;
  }

  /// In memory of which the last elements must stay as they are.
  std::vector<std::vector<T>> computed(int threads, IsaLevel level) const {
    constexpr size_t kGuard = 64;
    const T guard = T(1e30);
    std::vector<std::vector<T>> c = results;
    std::vector<StackedRows<T>> blocks;
    const ProductStack<T> stack = into(c, blocks);
    std::vector<T> memory(static_cast<size_t>(stack_elements(stack, level)), std::numeric_limits<T>::quiet_NaN());
    memory.insert(memory.end(), kGuard, guard);
    ThreadPool::instance().run(threads, [&](Team& team) { product_stack(stack, memory.data(), team, level); });
    CHECK(std::count(memory.end() - kGuard, memory.end(), guard) == kGuard);
    return c;
  }
};

template <class T>
void check(const Stack<T>& stack, int threads) {
  const std::vector<std::vector<T>> expected = stack.expected();
  for (const IsaLevel level : levels()) {
    const std::vector<std::vector<T>> actual = stack.computed(threads, level);
    for (size_t i = 0; i < expected.size(); ++i) {
      INFO(name(level) << ", " << threads << " threads, product " << i << " of " << expected.size() << ", m " << stack.heights[i]
                       << ", n " << stack.n << ", k " << stack.k << ", " << sizeof(T) << " bytes");
      CHECK(std::equal(expected[i].begin(), expected[i].end(), actual[i].begin(), same_bits<T>));
    }
  }
}

template <class T>
void check_random(uint64_t seed, int cases) {
  Random random(seed);
  const int64_t sizes[] = {0, 1, 2, 5, 6, 7, 12, 13, 16, 17, 33, 40, 64, 65, 100, 129};
  const auto size = [&] { return sizes[pick(random, 0, std::size(sizes) - 1)]; };
  for (int i = 0; i < cases; ++i) {
    std::vector<int64_t> heights(pick(random, 0, 4));
    for (int64_t& m : heights) m = size();
    const int64_t n = size(), k = size();
    const Stack<T> stack(random, heights, n, k, pick(random, 0, 2) == 0);
    check(stack, static_cast<int>(pick(random, 1, 4)));
  }
}

TEST_CASE("float stacks of random heights equal the reference in every bit") { check_random<float>(21, 300); }
TEST_CASE("double stacks of random heights equal the reference in every bit") { check_random<double>(22, 150); }

TEST_CASE("stacks of several blocks of k and of columns") {
  Random random(23);
  check(Stack<float>(random, {70, 3, 130}, 150, 1000, false), 2);
  check(Stack<float>(random, {7, 12}, 4200, 700, true), 3);
  check(Stack<double>(random, {600, 1}, 90, 330, false), 2);
}

TEST_CASE("products that are small, or would take much memory, are not worth a stack") {
  CHECK(is_worth_stacking(512, 1024, 1600));
  CHECK_FALSE(is_worth_stacking(16, 1 << 20, 1600));
  CHECK_FALSE(is_worth_stacking(512, 1024, 1));
  CHECK_FALSE(is_worth_stacking(512, 1, 1600));
  CHECK_FALSE(is_worth_stacking(1 << 20, 1024, 1600));
}

}  // namespace
}  // namespace calque::kernels
