// Sizes that differ from call to call: what a recorded integer or number is in terms of them.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "ir/op/attributes.h"

namespace calque {

/// A size that differs from call to call: one dimension of one tensor from outside of a segment. Each is its own symbol, also
/// when two were always equal so far, so that nothing is assumed about them.
using SizeSymbol = uint32_t;
inline constexpr SizeSymbol kNoSize = ~0u;

/// Sizes of 0 and 1 are no value of a symbol: ops broadcast them, or do nothing.
inline constexpr int64_t kLeastSize = 2;

/// The symbols that a way binds, ascending, each with its value.
using BoundSizes = std::vector<std::pair<SizeSymbol, int64_t>>;

/// `factor * a`, or `factor * a * b`.
struct SizeTerm {
  int64_t factor;
  SizeSymbol a, b = kNoSize;
};

/// `offset + term + term ...`; wraps where a guess leads too far.
struct SizeExpression {
  int64_t offset = 0;
  std::vector<SizeTerm> terms;

  /// `sizes`: the values of all symbols.
  int64_t value(std::span<const int64_t> sizes) const;
};

/// A word of an op's attributes that follows from sizes: an integer, or a number such as 1.0 / B.
struct SizedWord {
  enum class Kind : uint8_t {
    integer,          // the expression
    multiple,         // scale * expression
    quotient,         // scale / expression
    single_quotient,  // the same in f32
  };
  int word = 0;  // of the attributes
  Kind kind = Kind::integer;
  double scale = 1;
  SizeExpression expression;

  int64_t value(std::span<const int64_t> sizes) const;
};

/// The values of all symbols in one recorded call.
using SizeSample = std::span<const int64_t>;

/// What an integer that was `before` in one call and is `now` in another is; the simplest of what fits. `symbols`: those that
/// it may depend on. Empty when nothing fits.
std::optional<SizeExpression> fit_integer(int64_t before, SizeSample sizes_before, int64_t now, SizeSample sizes_now,
                                          std::span<const SizeSymbol> symbols);

/// The same for an expression that held for all calls so far, in which the symbols of `fresh` had the values of
/// `sizes_before`.
std::optional<SizeExpression> refit_integer(const SizeExpression& known, SizeSample sizes_before, int64_t now,
                                            SizeSample sizes_now, std::span<const SizeSymbol> fresh);

/// The same for a number, given as the bits of doubles. `word` of the result is not set.
std::optional<SizedWord> fit_number(int64_t before, SizeSample sizes_before, int64_t now, SizeSample sizes_now,
                                    std::span<const SizeSymbol> symbols);

}  // namespace calque
