// Taking values apart: a plain aggregate into its members, and any nesting of containers, tuples, optionals
// and aggregates into its leaves. Nothing has to be declared for a type.
//
// Limits: an aggregate has at most 16 members and no base class with members. What cannot be taken apart is
// said to be so, never guessed.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <iterator>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>
#include <variant>

#include "calque/state.h"
#include "calque/tensor.h"

#pragma GCC visibility push(default)

namespace calque::detail {

// --- members of aggregates

inline constexpr size_t kMostMembers = 16;

/// Stands for any member in a test whether a type can be initialised; never made.
struct AnyMember {
  explicit AnyMember(size_t);
  template <class T>
  operator T() const noexcept;
};

template <class T, size_t... i>
constexpr bool takes(std::index_sequence<i...>) {
  return requires { T{AnyMember(i)...}; };
}
template <class T, size_t... before, size_t... inside, size_t... after>
constexpr bool takes_nested(std::index_sequence<before...>, std::index_sequence<inside...>,
                            std::index_sequence<after...>) {
  return requires { T{AnyMember(before)..., {AnyMember(inside)...}, AnyMember(after)...}; };
}

/// How many initialisers the aggregate takes, elements of array members counted one by one.
template <class T, size_t n = 0>
constexpr size_t initialiser_count() {
  constexpr size_t kMost = 256;
  if constexpr (n > kMost || !takes<T>(std::make_index_sequence<n + 1>()))
    return n;
  else
    return initialiser_count<T, n + 1>();
}

/// Initialisers that belong to the member at initialiser `i` of `n`: more than one for an array.
template <class T, size_t n, size_t i, size_t size>
constexpr size_t member_size() {
  if constexpr (i + size > n)
    return 1;
  else {
    constexpr bool fits = takes_nested<T>(std::make_index_sequence<i>(), std::make_index_sequence<size>(),
                                          std::make_index_sequence<n - i - size>());
    constexpr bool has_room = takes_nested<T>(std::make_index_sequence<i>(), std::make_index_sequence<size>(),
                                              std::make_index_sequence<n - i - size + 1>());
    if constexpr (fits && !has_room)
      return size;
    else
      return member_size<T, n, i, size + 1>();
  }
}

template <class T, size_t n, size_t i = 0>
constexpr size_t count_members() {
  if constexpr (i >= n)
    return 0;
  else
    return 1 + count_members<T, n, i + member_size<T, n, i, 2>()>();
}

template <class T>
inline constexpr size_t kMemberCount = count_members<T, initialiser_count<T>()>();

/// Calls f with every member of an aggregate, in order.
template <class T, class F>
constexpr void for_each_member(T& value, F&& f) {
  constexpr size_t n = kMemberCount<std::remove_const_t<T>>;
  static_assert(n >= 1 && n <= kMostMembers);
#define CALQUE_MEMBERS(count, ...) \
  if constexpr (n == count) {      \
    auto& [__VA_ARGS__] = value;   \
    call_each(f, __VA_ARGS__);     \
  }
  const auto call_each = [](F& each, auto&... members) { (each(members), ...); };
  CALQUE_MEMBERS(1, a)
  CALQUE_MEMBERS(2, a, b)
  CALQUE_MEMBERS(3, a, b, c)
  CALQUE_MEMBERS(4, a, b, c, d)
  CALQUE_MEMBERS(5, a, b, c, d, e)
  CALQUE_MEMBERS(6, a, b, c, d, e, g)
  CALQUE_MEMBERS(7, a, b, c, d, e, g, h)
  CALQUE_MEMBERS(8, a, b, c, d, e, g, h, i)
  CALQUE_MEMBERS(9, a, b, c, d, e, g, h, i, j)
  CALQUE_MEMBERS(10, a, b, c, d, e, g, h, i, j, k)
  CALQUE_MEMBERS(11, a, b, c, d, e, g, h, i, j, k, l)
  CALQUE_MEMBERS(12, a, b, c, d, e, g, h, i, j, k, l, m)
  CALQUE_MEMBERS(13, a, b, c, d, e, g, h, i, j, k, l, m, o)
  CALQUE_MEMBERS(14, a, b, c, d, e, g, h, i, j, k, l, m, o, p)
  CALQUE_MEMBERS(15, a, b, c, d, e, g, h, i, j, k, l, m, o, p, q)
  CALQUE_MEMBERS(16, a, b, c, d, e, g, h, i, j, k, l, m, o, p, q, r)
#undef CALQUE_MEMBERS
}

// --- kinds of types

template <class T>
concept Text = std::is_convertible_v<const T&, std::string_view> && !std::is_same_v<T, std::nullptr_t>;
template <class T>
concept Identified = std::is_base_of_v<Identity, T>;
template <class T>
concept PointerToIdentified = requires(const T& p) {
  { p.get() } -> std::convertible_to<const Identity*>;
}
|| std::is_convertible_v<T, const Identity*>;
template <class T>
concept TupleLike = requires {
  std::tuple_size<T>::value;
};
template <class T>
concept Sized = requires(T& value) {
  std::begin(value);
  std::end(value);
  { std::size(value) } -> std::convertible_to<size_t>;
};
template <class T>
inline constexpr bool kIsOptional = false;
template <class T>
inline constexpr bool kIsOptional<std::optional<T>> = true;
template <class T>
inline constexpr bool kIsVariant = false;
template <class... T>
inline constexpr bool kIsVariant<std::variant<T...>> = true;

/// Numbers, and what is compared like one.
template <class T>
concept Plain = std::is_arithmetic_v<T> || std::is_enum_v<T> || std::is_member_pointer_v<T> ||
                (std::is_pointer_v<T>&& std::is_function_v<std::remove_pointer_t<T>>) ||
                std::is_same_v<T, std::nullptr_t>;

template <class T>
constexpr bool is_plain_aggregate() {
  if constexpr (std::is_aggregate_v<T> && std::is_class_v<T>)
    return kMemberCount<T> >= 1 && kMemberCount<T> <= kMostMembers;
  else
    return false;
}

/// Tells a visitor every leaf of a value, in order: `tensor(Tensor&)` (const where the value is),
/// `word(uint64_t)` for numbers, sizes and identities, `text(string_view, bool is_owned)` (false: the value
/// only points at it), and `unknown()` for what cannot be taken apart.
template <class Visitor, class Value>
void walk(Visitor& visitor, Value& value) {
  using T = std::remove_const_t<Value>;
  if constexpr (std::is_same_v<T, Tensor>) {
    visitor.tensor(value);
  } else if constexpr (Plain<T>) {
    if constexpr (sizeof(T) <= 8) {
      uint64_t bits = 0;
      std::memcpy(&bits, &value, sizeof(T));
      visitor.word(bits);
    } else {
      uint64_t bits[(sizeof(T) + 7) / 8] = {};
      std::memcpy(bits, &value,
                  std::is_same_v<T, long double> ? 10 : sizeof(T));  // the rest of a long double is padding
      for (const uint64_t word : bits) visitor.word(word);
    }
  } else if constexpr (Identified<T>) {
    visitor.word(static_cast<const Identity&>(value).identity());
  } else if constexpr (PointerToIdentified<T>) {
    const Identity* object;
    if constexpr (std::is_pointer_v<T>)
      object = value;
    else
      object = value.get();
    visitor.word(object ? object->identity() : 0);
  } else if constexpr (Text<T>) {
    if constexpr (std::is_pointer_v<T>) {
      visitor.word(value != nullptr);
      if (value) visitor.text(value, false);
    } else {
      visitor.text(value, std::is_same_v<T, std::string>);
    }
  } else if constexpr (kIsOptional<T>) {
    visitor.word(value.has_value());
    if (value) walk(visitor, *value);
  } else if constexpr (kIsVariant<T>) {
    visitor.word(value.index());
    if (!value.valueless_by_exception())
      std::visit([&](auto& alternative) { walk(visitor, alternative); }, value);
  } else if constexpr (TupleLike<T>) {
    std::apply([&](auto&... elements) { (walk(visitor, elements), ...); }, value);
  } else if constexpr (Sized<Value>) {
    visitor.word(std::size(value));
    for (auto&& element : value) {
      // std::vector<bool> gives stand-ins for its elements.
      if constexpr (std::is_same_v<typename std::iterator_traits<decltype(std::begin(value))>::value_type,
                                   bool>)
        visitor.word(static_cast<bool>(element));
      else
        walk(visitor, element);
    }
  } else if constexpr (std::is_empty_v<T>) {
    // Nothing in it: a function object without captures, a tag.
  } else if constexpr (is_plain_aggregate<T>()) {
    for_each_member(value, [&](auto& member) { walk(visitor, member); });
  } else {
    visitor.unknown();
  }
}

}  // namespace calque::detail

#pragma GCC visibility pop
