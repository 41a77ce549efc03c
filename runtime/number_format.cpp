// Words for floats, integers and bools.
#include "runtime/number_format.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <type_traits>

namespace calque {

namespace {

std::string padded(const std::string& word, size_t width) {
  return std::string(width > word.size() ? width - word.size() : 0, ' ') + word;
}

template <class T>
std::string written(T value, std::chars_format format, int precision) {
  char text[1600];  // a double in fixed notation with 100 digits after the point has at most 412 characters
  const auto end = precision < 0 ? std::to_chars(text, text + sizeof text, value, format)
                                 : std::to_chars(text, text + sizeof text, value, format, precision);
  return {text, end.ptr};
}

/// A number cut at its point and exponent: "-1", "25", "e+07".
struct Parts {
  std::string whole, fraction, exponent;
};

Parts cut(const std::string& text) {
  const size_t e = std::min(text.find('e'), text.size()), point = std::min(text.find('.'), e);
  return {text.substr(0, point), text.substr(std::min(point + 1, e), e - std::min(point + 1, e)), text.substr(e)};
}

/// The shortest digits that give the value back, rounded where they are more than `precision`; no zeros at the end.
template <class T>
Parts parts_of(T value, bool with_exponent, int precision) {
  const std::chars_format format = with_exponent ? std::chars_format::scientific : std::chars_format::fixed;
  Parts parts = cut(written(value, format, -1));
  if (static_cast<int>(parts.fraction.size()) > precision) parts = cut(written(value, format, precision));
  parts.fraction.erase(parts.fraction.find_last_not_of('0') + 1);
  return parts;
}

template <class T>
bool needs_exponents(std::span<const T> finite, bool suppress_small) {
  T smallest = 0, largest = 0;
  for (const T value : finite) {
    const T size = std::abs(value);
    if (size == 0) continue;
    smallest = smallest == 0 ? size : std::min(smallest, size);
    largest = std::max(largest, size);
  }
  if (largest == 0) return false;
  constexpr T kLargestFixed = std::is_same_v<T, float> ? T(1e6) : T(1e8);  // beyond which digits would be made up
  return largest >= kLargestFixed || (!suppress_small && (smallest < T(0.0001) || largest / smallest > T(1000)));
}

/// Widths of the columns before and after the point.
struct Widths {
  size_t whole = 0, fraction = 0, exponent = 0;
};

template <class T>
std::vector<std::string> float_words(std::span<const T> values, const PrintOptions& options) {
  std::vector<T> finite;
  for (const T value : values)
    if (std::isfinite(value)) finite.push_back(value);
  const bool with_exponent = needs_exponents<T>(finite, options.suppress_small);
  std::vector<Parts> parts;
  Widths widths;
  for (const T value : finite) {
    const Parts& part = parts.emplace_back(parts_of(value, with_exponent, options.precision));
    widths.whole = std::max(widths.whole, part.whole.size());
    widths.fraction = std::max(widths.fraction, part.fraction.size());
    widths.exponent = std::max(widths.exponent, part.exponent.size());
  }
  const size_t behind = with_exponent ? widths.fraction + widths.exponent : widths.fraction;
  for (const T value : values) {  // "nan", "inf" and "-inf" may need more room
    if (std::isfinite(value)) continue;
    const size_t word = std::isinf(value) && value < 0 ? 4 : 3;
    if (word > behind + 1) widths.whole = std::max(widths.whole, word - behind - 1);
  }
  std::vector<std::string> words;
  size_t next = 0;
  for (const T value : values) {
    if (!std::isfinite(value)) {
      words.push_back(padded(std::isnan(value) ? "nan" : value < 0 ? "-inf" : "inf", widths.whole + 1 + behind));
      continue;
    }
    Parts part = parts[next++];
    // In scientific notation all have as many digits: further ones of the exact value, not zeros.
    if (with_exponent && part.fraction.size() < widths.fraction)
      part = cut(written(value, std::chars_format::scientific, static_cast<int>(widths.fraction)));
    const size_t missing = widths.fraction - part.fraction.size();
    std::string exponent = part.exponent;  // e+07 beside e+100 becomes e+007
    if (exponent.size() < widths.exponent) exponent.insert(2, widths.exponent - exponent.size(), '0');
    words.push_back(padded(part.whole, widths.whole) + '.' + part.fraction + std::string(missing, ' ') +
                    exponent);
  }
  return words;
}

template <class T>
std::vector<std::string> integer_words(std::span<const T> values) {
  std::vector<std::string> words;
  size_t width = 0;
  for (const T value : values) width = std::max(width, words.emplace_back(std::to_string(value)).size());
  for (std::string& word : words) word = padded(word, width);
  return words;
}

std::vector<std::string> bool_words(std::span<const uint8_t> values, bool has_axes) {
  std::vector<std::string> words;
  for (const uint8_t value : values) words.push_back(padded(value ? "True" : "False", has_axes ? 5 : 0));
  return words;
}

template <class T>
std::vector<T> gather(const kernels::View& view, std::span<const int64_t> offsets) {
  std::vector<T> values;
  for (const int64_t offset : offsets) values.push_back(view.as<T>()[offset]);
  return values;
}

}  // namespace

std::vector<std::string> format_elements(const kernels::View& view, std::span<const int64_t> offsets,
                                         const PrintOptions& options) {
  switch (view.dtype) {
    case DType::f32: return float_words<float>(gather<float>(view, offsets), options);
    case DType::f64: return float_words<double>(gather<double>(view, offsets), options);
    case DType::i64: return integer_words<int64_t>(gather<int64_t>(view, offsets));
    case DType::i32: return integer_words<int32_t>(gather<int32_t>(view, offsets));
    case DType::boolean: return bool_words(gather<uint8_t>(view, offsets), view.shape.rank() > 0);
  }
  return {};
}

}  // namespace calque
