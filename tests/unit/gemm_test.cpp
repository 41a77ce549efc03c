// The matrix product against an obvious triple loop, in every bit: all levels, strides, team sizes and kinds
// of sum.
#include "runtime/kernels/gemm.h"
#include "runtime/kernels/product_chunks.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <string>
#include <vector>

#include "runtime/thread_pool.h"
#include "tests/unit/product_cases.h"

namespace calque::kernels {
namespace {

// The definition, element by element.
template <class T>
void reference_product(const ProductSum<T>& p) {
  for (int64_t i = 0; i < p.m; ++i) {
    for (int64_t j = 0; j < p.n; ++j) {
      T sum = p.accumulate ? p.c[i * p.c_row_stride + j] : T{0};
      for (int64_t t = 0; t < p.term_count; ++t) {
        const ProductTerm<T>& term = p.terms[t];
        T chain = 0;
        for (int64_t k = 0; k < term.k; ++k) {
          chain = std::fma(term.a.data[i * term.a.row_stride + k * term.a.col_stride],
                           term.b.data[k * term.b.row_stride + j * term.b.col_stride], chain);
        }
        sum = t == 0 && !p.accumulate ? chain : sum + chain;
      }
      p.c[i * p.c_row_stride + j] = sum;
    }
  }
}

template <class T>
struct Case {
  std::vector<Matrix<T>> operands;
  std::vector<ProductTerm<T>> terms;
  std::vector<T> c;
  ProductSum<T> sum;

  Case(Random& random, int64_t m, int64_t n, const std::vector<int64_t>& ks, bool accumulate, bool special) {
    for (int64_t k : ks) {
      operands.emplace_back(random, m, k, special);
      operands.emplace_back(random, k, n, special);
      ProductTerm<T> term;
      term.a = operands[operands.size() - 2].view;
      term.b = operands[operands.size() - 1].view;
      term.k = k;
      terms.push_back(term);
    }
    sum = {
        m,         n, terms.data(), static_cast<int64_t>(terms.size()), nullptr, n + pick(random, 0, 2) * 3,
        accumulate};
    c.resize(m * sum.c_row_stride);
    for (T& x : c) x = random_value<T>(random, special);
  }
};

// Packs the operands that `packed` names into memory with a guard behind, then computes into `c`.
template <class T>
std::vector<T> compute(const Case<T>& test, IsaLevel level, int threads, unsigned packed, int64_t panel_columns, Order order) {
  std::vector<T> c = test.c;
  std::vector<ProductTerm<T>> terms = test.terms;
  std::vector<std::vector<T>> buffers(terms.size());
  ProductSum<T> sum = test.sum;
  sum.c = c.data();
  sum.terms = terms.data();
  sum.panel_columns = panel_columns;
  ThreadPool::instance().run(threads, [&](Team& team) {
    for (size_t t = 0; t < terms.size(); ++t) {
      if (t >= 32 || (packed >> t & 1) == 0) continue;
      if (team.rank == 0) buffers[t].assign(packed_elements<T>(terms[t].k, sum.n, level), T(1e30));
      team.barrier();
      pack(test.terms[t].b, terms[t].k, sum.n, buffers[t].data(), team, panel_columns, level);
      team.barrier();
      if (team.rank == 0) {
        terms[t].packed_b = buffers[t].data();
        terms[t].b = {};
      }
      team.barrier();
    }
    product_sum(sum, team, order, level);
  });
  return c;
}

template <class T>
void check(const Case<T>& test, const std::vector<int>& threads, unsigned packed) {
  std::vector<T> expected = test.c;
  ProductSum<T> sum = test.sum;
  sum.c = expected.data();
  reference_product(sum);
  for (IsaLevel level : levels()) {
    for (int size : threads) {
      size_t different = 0;
      for (const auto& [panel_columns, order] : {std::pair{kWholePanels, Order::ascending}, {kWholePanels, Order::descending},
                                                 {int64_t{16}, Order::ascending}, {int64_t{32}, Order::descending}}) {
        if (packed == 0 && panel_columns != kWholePanels) continue;
        const std::vector<T> actual = compute(test, level, size, packed, panel_columns, order);
        for (size_t i = 0; i < expected.size(); ++i) different += !same_bits(expected[i], actual[i]);
      }
      INFO(name(level) << ", " << size << " threads, packed " << packed << ", m " << sum.m << ", n " << sum.n
                       << ", terms " << sum.term_count << ", k " << (sum.term_count ? sum.terms[0].k : -1)
                       << ", accumulate " << sum.accumulate << ", " << sizeof(T) << " bytes");
      CHECK(different == 0);
    }
  }
}

template <class T>
void check_random(uint64_t seed, int cases) {
  Random random(seed);
  const int64_t sizes[] = {0, 1, 2, 3, 5, 7, 8, 13, 16, 17, 31, 33, 48, 64, 65, 100, 129};
  const int64_t count = std::size(sizes);
  for (int i = 0; i < cases; ++i) {
    const int64_t m = sizes[pick(random, 0, count - 1)], n = sizes[pick(random, 0, count - 1)];
    std::vector<int64_t> ks(pick(random, 0, 5));
    for (int64_t& k : ks) k = sizes[pick(random, 0, count - 4)];
    const bool accumulate = pick(random, 0, 1) != 0, special = pick(random, 0, 2) == 0;
    check(Case<T>(random, m, n, ks, accumulate, special), {static_cast<int>(pick(random, 1, 4))},
          static_cast<unsigned>(pick(random, 0, 31)));
  }
}

TEST_CASE("float products of random shapes equal the reference in every bit") { check_random<float>(1, 500); }
TEST_CASE("double products of random shapes equal the reference in every bit") {
  check_random<double>(2, 300);
}

TEST_CASE("chains longer than a block of k are carried exactly") {
  Random random(3);
  for (int64_t k : {256, 257, 600, 1025}) {
    for (bool accumulate : {false, true}) {
      check(Case<float>(random, 7, 70, {k}, accumulate, false), {1, 2}, 0);
      check(Case<float>(random, 14, 19, {k, 3, k}, accumulate, true), {1, 3}, 2);
      check(Case<double>(random, 5, 37, {k, k + 1}, accumulate, false), {2}, 1);
    }
  }
}

TEST_CASE("many short products are summed in order") {
  Random random(4);
  for (int64_t k : {1, 3, 16}) {
    const std::vector<int64_t> ks(100, k);
    check(Case<float>(random, 40, 96, ks, false, false), {1, 2}, 0);
    check(Case<float>(random, 6, 300, ks, true, false), {1, 2, 4}, 0);
    check(Case<double>(random, 13, 21, ks, true, false), {2}, 0xFF);
  }
}

TEST_CASE("short products whose sum stays in registers, beside long ones and at the edges of panels") {
  Random random(8);
  const std::vector<int64_t> mixed = {16, 16, 5, 0, 48, 1, 16, 300, 16, 49, 16, 3, 3};
  for (bool accumulate : {false, true}) {
    for (int64_t m : {4, 12, 13, 50}) {
      check(Case<float>(random, m, 850, mixed, accumulate, m == 13), {1, 2, 3}, 0x5);
      check(Case<double>(random, m, 430, mixed, accumulate, m == 13), {1, 2}, 0x2);
    }
    check(Case<float>(random, 500, 832, {16, 16, 16}, accumulate, false), {1, 2}, 0);
  }
}

TEST_CASE("a first product that underflows to -0 is stored as -0") {
  Random random(9);
  Case<float> test(random, 12, 1024, {1, 1, 1}, false, false);
  for (size_t i = 0; i < test.operands.size(); ++i) {
    std::fill(test.operands[i].memory.begin(), test.operands[i].memory.end(), i % 2 ? -1e-30f : 1e-30f);
  }
  check(test, {1}, 0);
}

TEST_CASE("wide results, where columns are split and rows of a are packed") {
  Random random(5);
  for (int64_t m : {1, 2, 3, 4, 16, 25, 500}) {
    const int64_t n = m == 500 ? 330 : 1100;
    for (unsigned packed : {0u, 1u}) {
      check(Case<float>(random, m, n, {9, 40}, false, false), {1, 2, 3}, packed);
      check(Case<double>(random, m, n, {11}, true, false), {1, 2, 3}, packed);
    }
  }
}

TEST_CASE("results of one or a few columns") {
  Random random(6);
  for (int64_t n : {1, 2, 3, 4, 5}) {
    for (bool accumulate : {false, true}) {
      check(Case<float>(random, 300, n, {70}, accumulate, false), {1, 2, 3}, 0);
      check(Case<float>(random, 65, n, {300, 5}, accumulate, true), {1, 2, 4}, 0);
      check(Case<double>(random, 90, n, {31, 2}, accumulate, false), {1, 2}, 3);
    }
  }
}

TEST_CASE("a product of no terms is zero, or leaves what is there") {
  Random random(7);
  check(Case<float>(random, 9, 33, {}, false, false), {1, 3}, 0);
  check(Case<float>(random, 9, 33, {}, true, true), {1, 3}, 0);
  check(Case<float>(random, 9, 33, {0, 0}, true, true), {1, 3}, 0);  // -0 + +0 is +0
}

TEST_CASE("the chunks of a product cover the result once, and are enough for the team") {
  for (int64_t m : {0, 1, 5, 16, 200, 700}) {
    for (int64_t n : {0, 1, 17, 64, 96, 1024, 1030}) {
      for (int64_t k : {0, 3, 1000}) {
        for (int64_t panel : {8, 16, 64}) {
          for (bool packs_rows : {false, true}) {
            for (int team = 1; team <= 5; ++team) {
              const ProductChunks chunks(m, n, k, panel, packs_rows, team);
              std::vector<int> hits(m * n, 0);
              for (int64_t c = 0; c < chunks.count(); ++c) {
                const ProductChunk chunk = chunks[c];
                for (int64_t i = chunk.row_begin; i < chunk.row_end; ++i)
                  for (int64_t j = chunk.col_begin; j < chunk.col_end; ++j) ++hits.at(i * n + j);
              }
              INFO(m << " x " << n << ", k " << k << ", panel " << panel << ", team " << team);
              CHECK(std::count(hits.begin(), hits.end(), 1) == m * n);
              if (team == 1) CHECK(chunks.count() == 1);
              if (m >= 200 && k == 1000) CHECK(chunks.count() >= (n > 0 ? team : 1));
            }
          }
        }
      }
    }
  }
}

/// The columns [begin, end) in parts of `width`, for each repeat.
void multiply_parts(const ProductSum<float>& sum, int64_t width, int64_t distance, Order order, IsaLevel level) {
  for (int64_t begin = 0; begin < distance; begin += width)
    product_columns(sum, begin, std::min(begin + width, distance), sum.n / distance, distance, order, level);
}

/// Both operands packed, in panels of so many columns.
std::vector<std::vector<float>> pack_terms(ProductSum<float>& sum, std::vector<ProductTerm<float>>& terms, int64_t panel_columns,
                                           IsaLevel level) {
  std::vector<std::vector<float>> memory;
  sum.panel_columns = panel_columns;
  for (ProductTerm<float>& term : terms) {
    memory.emplace_back(packed_elements<float>(term.k, sum.n, level), 1e30f);
    ThreadPool::instance().run(2, [&](Team& team) { pack(term.b, term.k, sum.n, memory.back().data(), team, panel_columns, level); });
    term.packed_b = memory.back().data();
    term.b = {};
  }
  sum.terms = terms.data();
  return memory;
}

TEST_CASE("groups of columns of packed operands equal those of the whole product, however wide panels are") {
  Random random(12);
  for (const std::vector<int64_t>& ks : {std::vector<int64_t>{64}, {40, 7, 3}, {33, 1300}, {5, 5, 5, 5, 5}})
    for (const int64_t m : {1, 2, 16})
      for (const auto& [distance, repeats] : {std::pair<int64_t, int64_t>{64, 4}, {144, 3}, {80, 5}, {128, 2}}) {
        Case<float> test(random, m, distance * repeats, ks, ks.size() == 2, false);
        for (const IsaLevel level : levels())
          for (const int64_t panel_columns : {int64_t{16}, int64_t{32}, kWholePanels}) {
            std::vector<float> expected = test.c, actual = test.c;
            ProductSum<float> sum = test.sum;
            sum.c = expected.data();
            reference_product(sum);
            std::vector<ProductTerm<float>> terms = test.terms;
            const auto memory = pack_terms(sum, terms, panel_columns, level);
            sum.c = actual.data();
            for (const int64_t width : {16, 32, 48, 64})
              for (const Order order : {Order::ascending, Order::descending}) {
                actual = test.c;
                multiply_parts(sum, width, distance, order, level);
                INFO(name(level) << ", m " << m << ", terms " << ks.size() << ", distance " << distance << ", width " << width
                                 << ", panels " << panel_columns);
                CHECK(std::equal(expected.begin(), expected.end(), actual.begin(), same_bits<float>));
              }
          }
      }
}

TEST_CASE("groups of columns that repeat at a distance equal those of the whole product") {
  Random random(11);
  for (const bool accumulate : {false, true})
    for (const std::vector<int64_t>& ks : {std::vector<int64_t>{}, {40}, {2100}, {33, 1300}})
      for (const int64_t m : {1, 3, 16, 70})
        for (const auto& [distance, repeats] : {std::pair<int64_t, int64_t>{144, 3}, {128, 5}}) {
          Case<float> test(random, m, distance * repeats, ks, accumulate, false);
          for (const IsaLevel level : levels()) {
            std::vector<float> expected = test.c, actual = test.c;
            test.sum.c = expected.data();
            reference_product(test.sum);
            test.sum.c = actual.data();
            for (const int64_t width : {16, 32, 48, 64})
              for (const Order order : {Order::ascending, Order::descending}) {
                actual = test.c;
                multiply_parts(test.sum, width, distance, order, level);
                INFO(name(level) << ", m " << m << ", terms " << ks.size() << ", accumulate " << accumulate << ", distance "
                                 << distance << ", width " << width);
                CHECK(std::equal(expected.begin(), expected.end(), actual.begin(), same_bits<float>));
              }
          }
        }
}

TEST_CASE("instruction-set levels have names, and the chosen one runs here") {
  CHECK(std::string(name(IsaLevel::baseline)) == "baseline");
  CHECK(std::string(name(IsaLevel::avx2)) == "avx2");
  CHECK(std::string(name(IsaLevel::avx512)) == "avx512");
  CHECK(is_supported(isa_level()));
}

}  // namespace
}  // namespace calque::kernels
