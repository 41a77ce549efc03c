// Expressions in sizes, fitted from two calls. A wrong guess is found out at the next match.
#include "compiler/sizes.h"

#include <bit>
#include <cmath>
#include <limits>

namespace calque {

namespace {

int64_t wrapping_multiply(int64_t a, int64_t b) {
  return static_cast<int64_t>(static_cast<uint64_t>(a) * static_cast<uint64_t>(b));
}
int64_t wrapping_add(int64_t a, int64_t b) {
  return static_cast<int64_t>(static_cast<uint64_t>(a) + static_cast<uint64_t>(b));
}

int64_t wrapping_subtract(int64_t a, int64_t b) {
  return static_cast<int64_t>(static_cast<uint64_t>(a) - static_cast<uint64_t>(b));
}

int64_t product_of(const SizeTerm& term, SizeSample sizes) {
  return term.b == kNoSize ? sizes[term.a] : wrapping_multiply(sizes[term.a], sizes[term.b]);
}

/// Single symbols, then products of two, that differ between the samples.
std::vector<SizeTerm> changed_terms(SizeSample before, SizeSample now, std::span<const SizeSymbol> symbols) {
  std::vector<SizeTerm> terms;
  for (SizeSymbol a : symbols)
    if (before[a] != now[a]) terms.push_back({1, a, kNoSize});
  for (size_t i = 0; i < symbols.size(); ++i)
    for (size_t k = i; k < symbols.size(); ++k)
      if (const SizeTerm term{1, symbols[i], symbols[k]}; product_of(term, before) != product_of(term, now))
        terms.push_back(term);
  return terms;
}

/// How far-fetched a guess is.
int cost_of(const SizeTerm& term, int64_t offset) {
  const int product = term.b == kNoSize ? 0 : 2;
  if (offset == 0) return (term.factor == 1 ? 0 : 1) + product;
  return (term.factor == 1 || term.factor == -1 ? 2 : 4) + 2 * product;
}

/// A scale with which the word gives both numbers.
bool find_scale(SizedWord& word, int64_t before, SizeSample sizes_before, int64_t now, SizeSample sizes_now) {
  const double number = std::bit_cast<double>(before), size = static_cast<double>(word.expression.value(sizes_before));
  const double exact = word.kind == SizedWord::Kind::multiple ? number / size : number * size;
  for (const double scale : {std::nearbyint(exact), exact}) {
    word.scale = scale;
    if (std::isfinite(scale) && scale != 0 && word.value(sizes_before) == before && word.value(sizes_now) == now) return true;
  }
  return false;
}

}  // namespace

int64_t SizeExpression::value(std::span<const int64_t> sizes) const {
  int64_t sum = offset;
  for (const SizeTerm& term : terms) sum = wrapping_add(sum, wrapping_multiply(term.factor, product_of(term, sizes)));
  return sum;
}

int64_t SizedWord::value(std::span<const int64_t> sizes) const {
  const int64_t size = expression.value(sizes);
  switch (kind) {
    case Kind::integer: return size;
    case Kind::multiple: return std::bit_cast<int64_t>(scale * static_cast<double>(size));
    case Kind::quotient: return std::bit_cast<int64_t>(scale / static_cast<double>(size));
    case Kind::single_quotient:
      return std::bit_cast<int64_t>(static_cast<double>(static_cast<float>(scale) / static_cast<float>(size)));
  }
  return size;
}

std::optional<SizeExpression> fit_integer(int64_t before, SizeSample sizes_before, int64_t now, SizeSample sizes_now,
                                          std::span<const SizeSymbol> symbols) {
  std::optional<SizeExpression> best;
  int least = 0;
  for (SizeTerm term : changed_terms(sizes_before, sizes_now, symbols)) {
    const int64_t from = product_of(term, sizes_before), step = wrapping_subtract(product_of(term, sizes_now), from);
    const int64_t change = wrapping_subtract(now, before);
    if (change == std::numeric_limits<int64_t>::min() || change % step != 0) continue;
    term.factor = change / step;
    const int64_t offset = wrapping_subtract(before, wrapping_multiply(term.factor, from));
    const int cost = cost_of(term, offset);
    if (best && cost >= least) continue;
    best = SizeExpression{offset, {term}};
    least = cost;
  }
  return best;
}

std::optional<SizeExpression> refit_integer(const SizeExpression& known, SizeSample sizes_before, int64_t now,
                                            SizeSample sizes_now, std::span<const SizeSymbol> fresh) {
  // A factor that was a size: 8 * B becomes T * B.
  if (known.terms.size() == 1 && known.terms[0].b == kNoSize)
    for (SizeSymbol symbol : fresh) {
      SizeExpression product = known;
      SizeTerm& term = product.terms[0];
      if (term.factor % sizes_before[symbol] != 0) continue;
      term.factor /= sizes_before[symbol];
      term.b = symbol;
      if (product.value(sizes_now) == now) return product;
    }
  // A summand that was a size: B + 8 becomes B + T.
  const std::optional<SizeExpression> added =
      fit_integer(0, sizes_before, wrapping_subtract(now, known.value(sizes_now)), sizes_now, fresh);
  if (!added) return std::nullopt;
  SizeExpression sum = known;
  sum.offset = wrapping_add(sum.offset, added->offset);
  sum.terms.insert(sum.terms.end(), added->terms.begin(), added->terms.end());
  return sum;
}

std::optional<SizedWord> fit_number(int64_t before, SizeSample sizes_before, int64_t now, SizeSample sizes_now,
                                    std::span<const SizeSymbol> symbols) {
  using enum SizedWord::Kind;
  for (const SizeTerm& term : changed_terms(sizes_before, sizes_now, symbols))
    for (const int64_t offset : {0, -1})
      for (const SizedWord::Kind kind : {quotient, single_quotient, multiple}) {
        SizedWord word{0, kind, 1, {offset, {term}}};
        if (find_scale(word, before, sizes_before, now, sizes_now)) return word;
      }
  return std::nullopt;
}

}  // namespace calque
