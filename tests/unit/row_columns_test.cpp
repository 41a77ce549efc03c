// Columns of a row that are bound once: the bits of product_columns(), wherever rows and results lie, and however much of a row is
// there before the rest is waited for.
#include "runtime/kernels/row_columns.h"

#include <catch2/catch.hpp>
#include <limits>
#include <vector>

#include "tests/unit/product_cases.h"

namespace calque::kernels {
namespace {

/// One row by `repeats` times `distance` columns, each term dense.
struct RowProduct {
  int64_t distance, repeats;
  std::vector<std::vector<float>> rows, matrices, packed;
  std::vector<ProductTerm<float>> terms;
  ProductSum<float> sum;

  RowProduct(Random& random, const std::vector<int64_t>& ks, int64_t distance, int64_t repeats, int64_t panel_columns,
             IsaLevel level)
      : distance(distance), repeats(repeats) {
    const int64_t n = distance * repeats;
    for (const int64_t k : ks) {
      rows.emplace_back(k);
      matrices.emplace_back(k * n);
      for (std::vector<float>* values : {&rows.back(), &matrices.back()})
        for (float& x : *values) x = random_value<float>(random, false);
      terms.push_back({{rows.back().data(), k, 1}, {matrices.back().data(), n, 1}, k});
      if (panel_columns == 0) continue;
      packed.emplace_back(packed_elements<float>(k, n, level));
      Team alone;
      pack(terms.back().b, k, n, packed.back().data(), alone, panel_columns, level);
      terms.back().packed_b = packed.back().data();
    }
    sum = {1, n, terms.data(), static_cast<int64_t>(terms.size()), nullptr, n};
    if (panel_columns != 0) sum.panel_columns = panel_columns;
  }

  std::vector<float> expected(int64_t begin, int64_t end, IsaLevel level) {
    std::vector<float> c(sum.n, 0.0f);
    sum.c = c.data();
    product_columns(sum, begin, end, repeats, distance, Order::ascending, level);
    return c;
  }
};

/// Copies of the rows elsewhere, of which only what comes first is known until the rest is revealed.
struct HiddenRows {
  const std::vector<std::vector<float>>& values;
  std::vector<std::vector<float>> seen;
  std::vector<std::byte*> addresses;

  HiddenRows(const std::vector<std::vector<float>>& values, int64_t known) : values(values) {
    for (const std::vector<float>& row : values) seen.emplace_back(row.size(), std::numeric_limits<float>::quiet_NaN());
    for (std::vector<float>& row : seen) addresses.push_back(reinterpret_cast<std::byte*>(row.data()));
    std::copy_n(values[0].begin(), known, seen[0].begin());
    if (known == 0) reveal();
  }
  void reveal() {
    for (size_t i = 0; i < seen.size(); ++i) std::copy(values[i].begin(), values[i].end(), seen[i].begin());
  }
};

void check(RowProduct& product, int64_t begin, int64_t end, IsaLevel level) {
  const std::vector<float> expected = product.expected(begin, end, level);
  product.sum.c = nullptr;
  REQUIRE(RowColumns<float>::fits(product.sum, begin, end, product.repeats, product.distance, level));
  RowColumns<float> columns(product.sum, begin, end, product.repeats, product.distance, level);
  for (const Order order : {Order::ascending, Order::descending})
    for (const int64_t known : {int64_t{0}, int64_t{1}, product.terms[0].k}) {
      INFO(name(level) << ", terms " << product.terms.size() << ", columns " << begin << " to " << end << " of " << product.distance
                       << ", known " << known);
      HiddenRows rows(product.rows, known);
      std::vector<float> c(product.sum.n, 0.0f);
      int waits = 0;
      columns.multiply(rows.addresses.data(), c.data(), order, known, [&] {
        ++waits;
        rows.reveal();
      });
      CHECK(waits == (known > 0));
      CHECK(std::equal(expected.begin(), expected.end(), c.begin(), same_bits<float>));
    }
}

}  // namespace

TEST_CASE("columns of a row that are bound once have the bits of others, wherever rows lie and whatever is waited for") {
  Random random(13);
  for (const IsaLevel level : levels())
    for (const std::vector<int64_t>& ks : {std::vector<int64_t>{64}, {40, 7, 3}})
      for (const int64_t panel_columns : {int64_t{0}, int64_t{16}, kWholePanels})
        for (const auto& [distance, repeats] : {std::pair<int64_t, int64_t>{64, 4}, {48, 3}, {32, 1}}) {
          RowProduct product(random, ks, distance, repeats, panel_columns, level);
          for (int64_t begin = 0; begin < distance; begin += 16) check(product, begin, begin + 16, level);
        }
}

TEST_CASE("only one row of whole vectors by short chains is bound") {
  Random random(14);
  RowProduct product(random, {8}, 64, 1, 0, isa_level());
  const auto is_bound = [&](const ProductSum<float>& sum, int64_t end) {
    return RowColumns<float>::fits(sum, 0, end, 1, 64);
  };
  CHECK(is_bound(product.sum, 64));
  CHECK_FALSE(is_bound(product.sum, 63));
  ProductSum<float> several = product.sum, onto = product.sum, nothing = product.sum;
  several.m = 2;
  onto.accumulate = true;
  nothing.term_count = 0;
  for (const ProductSum<float>& other : {several, onto, nothing}) CHECK_FALSE(is_bound(other, 64));
}

}  // namespace calque::kernels
