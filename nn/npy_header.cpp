// Parses and writes headers of npy files.
#include "nn/npy_header.h"

#include <charconv>
#include <optional>
#include <vector>

namespace calque::npy {

namespace {

/// Words of the little part of Python that a header is written in.
class Reader {
 public:
  explicit Reader(std::string_view text) : left_(text) {}

  bool accept(std::string_view word) {
    while (!left_.empty() && (left_.front() == ' ' || left_.front() == '\n' || left_.front() == '\t')) left_.remove_prefix(1);
    if (!left_.starts_with(word)) return false;
    left_.remove_prefix(word.size());
    return true;
  }
  void expect(std::string_view word) {
    if (!accept(word)) throw UserError("its header lacks " + std::string(word) + " where the format asks for it");
  }
  bool at_end() { return accept("") && left_.empty(); }

  std::string_view string() {
    const bool is_double = accept("\"");
    if (!is_double) expect("'");
    const size_t end = left_.find(is_double ? '"' : '\'');
    if (end == std::string_view::npos || end > 200) throw UserError("a string in its header does not end");
    const std::string_view text = left_.substr(0, end);
    left_.remove_prefix(end + 1);
    return text;
  }
  bool boolean() {
    if (accept("True")) return true;
    expect("False");
    return false;
  }
  int64_t size() {
    accept("");
    int64_t value = -1;
    const auto [end, error] = std::from_chars(left_.data(), left_.data() + left_.size(), value);
    if (error != std::errc() || value < 0) throw UserError("a size in its shape is not a number from 0 to 2^63 - 1");
    left_.remove_prefix(static_cast<size_t>(end - left_.data()));
    accept("L");  // of Python 2
    return value;
  }
  Shape shape() {
    expect("(");
    std::vector<int64_t> sizes;
    while (!accept(")")) {
      sizes.push_back(size());
      if (sizes.size() > kMaxRank) throw UserError("its rank is over " + std::to_string(kMaxRank));
      if (accept(",")) continue;
      expect(")");
      break;
    }
    return Shape(std::span<const int64_t>(sizes));
  }

 private:
  std::string_view left_;
};

void read_descr(std::string_view descr, Header& header) {
  constexpr struct {
    std::string_view name;
    DType dtype;
  } kNames[] = {{"f4", DType::f32}, {"f8", DType::f64}, {"i4", DType::i32}, {"i8", DType::i64}, {"b1", DType::boolean}};
  if (descr.size() == 3)
    for (const auto& [name, dtype] : kNames) {
      const char order = descr[0];
      if (descr.substr(1) != name || (order != '<' && order != '>' && order != '=' && order != '|')) continue;
      header.type.dtype = dtype;
      header.is_big_endian = order == '>';
      return;
    }
  std::string shown;
  for (const char c : descr.substr(0, 40)) shown += c < 32 || c == 127 ? '?' : c;
  throw UserError("its dtype '" + shown + "' is none of f4, f8, i4, i8, b1; convert it with astype()");
}

}  // namespace

Header parse_header(std::string_view text) {
  Reader reader(text);
  Header header;
  bool has_descr = false, has_order = false, has_shape = false;
  const auto once = [](bool& seen) {
    if (std::exchange(seen, true)) throw UserError("a key stands twice in its header");
  };
  reader.expect("{");
  while (!reader.accept("}")) {
    const std::string_view key = reader.string();
    reader.expect(":");
    if (key == "descr") {
      once(has_descr);
      if (reader.accept("[")) throw UserError("it holds records, not plain numbers");
      read_descr(reader.string(), header);
    } else if (key == "fortran_order") {
      once(has_order);
      header.is_fortran = reader.boolean();
    } else if (key == "shape") {
      once(has_shape);
      header.type.shape = reader.shape();
    } else {
      throw UserError("its header has a key that the format does not know");
    }
    if (reader.accept(",")) continue;
    reader.expect("}");
    break;
  }
  if (!has_descr || !has_order || !has_shape) throw UserError("its header lacks descr, fortran_order or shape");
  if (!reader.at_end()) throw UserError("something follows the dictionary in its header");
  return header;
}

std::string format_head(const Type& type) {
  const char* descr = "";
  switch (type.dtype) {
    case DType::f32: descr = "<f4"; break;
    case DType::f64: descr = "<f8"; break;
    case DType::i64: descr = "<i8"; break;
    case DType::i32: descr = "<i4"; break;
    case DType::boolean: descr = "|b1"; break;
  }
  std::string text = "{'descr': '" + std::string(descr) + "', 'fortran_order': False, 'shape': (";
  for (int axis = 0; axis < type.shape.rank(); ++axis)
    text += (axis ? ", " : "") + std::to_string(type.shape[axis]);
  text += type.shape.rank() == 1 ? ",), }" : "), }";
  constexpr size_t kPrefix = 10;  // magic, version, length
  text.append(63 - (kPrefix + text.size()) % 64, ' ') += '\n';
  const auto low = static_cast<char>(text.size() & 0xff), high = static_cast<char>(text.size() >> 8);
  return std::string("\x93NUMPY\x01\x00", 8) + low + high + text;
}

}  // namespace calque::npy
