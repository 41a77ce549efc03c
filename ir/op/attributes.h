// Attributes of an op: a few 64-bit words held by value, so that comparing two is comparing memory.
#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <type_traits>

#include "type.h"

#pragma GCC visibility push(default)

namespace calque {

/// A list of sizes or axes given by a user: `{0, 1}`, a vector, a Shape.
class Ints {
 public:
  Ints() = default;
  Ints(std::initializer_list<int64_t> values) : values_(values.begin(), values.size()) {}
  Ints(std::span<const int64_t> values) : values_(values) {}
  template <class Container>
    requires std::is_convertible_v<const Container&, std::span<const int64_t>>
  Ints(const Container& values) : values_(values) {}
  Ints(const Shape& shape) : values_(shape.dims()) {}
  std::span<const int64_t> values() const { return values_; }

 private:
  std::span<const int64_t> values_;
};

/// Up to kMaxWords words. Scalars take one word each, in the order of the row's specification; a list, if there
/// is one, comes last and takes what remains.
class Attributes {
 public:
  static constexpr int kMaxWords = 8;

  Attributes() = default;
  /// Packs the parameters of an op: bool, integers, DType, double (as its bits), then at most one Ints.
  template <class... Parameters>
  static Attributes of(const Parameters&... parameters) {
    Attributes result;
    (result.add(parameters), ...);
    return result;
  }

  int size() const { return size_; }
  int64_t operator[](int i) const { return words_[i]; }
  bool flag(int i) const { return words_[i] != 0; }
  double number(int i) const { return std::bit_cast<double>(words_[i]); }
  DType dtype(int i) const { return static_cast<DType>(words_[i]); }
  /// The list that starts at word `first`.
  std::span<const int64_t> list(int first) const {
    return {words_.data() + first, static_cast<size_t>(size_ - first)};
  }
  void set(int i, int64_t word) { words_[i] = word; }
  /// Replaces the list that starts at word `first`.
  void set_list(int first, std::span<const int64_t> values);
  void add_word(int64_t word);

  bool operator==(const Attributes& other) const {
    if (size_ != other.size_) return false;
    for (int i = 0; i < size_; ++i)  // most are empty: no call for that
      if (words_[i] != other.words_[i]) return false;
    return true;
  }

 private:
  template <class P>
  void add(const P& parameter) {
    if constexpr (std::is_same_v<P, double>) add_word(std::bit_cast<int64_t>(parameter));
    else if constexpr (std::is_same_v<P, Ints>) set_list(size_, parameter.values());
    else add_word(static_cast<int64_t>(parameter));
  }

  std::array<int64_t, kMaxWords> words_{};
  int size_ = 0;
};

/// How one attribute is printed and parsed.
enum class AttributeKind : uint8_t { integer, boolean, number, dtype, integers };

struct AttributeSpec {
  const char* name;
  AttributeKind kind;
};

}  // namespace calque

#pragma GCC visibility pop
