// Parses the header of a safetensors file without building a document, so that hostile text costs no more
// than its size.
#include "nn/safetensors_header.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>

namespace calque::safetensors {

using nlohmann::json;

namespace {

constexpr std::array<std::pair<DType, std::string_view>, 5> kFormatNames = {{{DType::f32, "F32"},
                                                                             {DType::f64, "F64"},
                                                                             {DType::i64, "I64"},
                                                                             {DType::i32, "I32"},
                                                                             {DType::boolean, "BOOL"}}};

/// A name from a file as it may stand in a message: short, and without control characters.
std::string shown(std::string_view name) {
  std::string text = "'";
  for (const char c : name.substr(0, 80)) text += static_cast<unsigned char>(c) < 32 || c == 127 ? '?' : c;
  return text + (name.size() > 80 ? "...'" : "'");
}

/// What one entry said so far; each key may come once.
struct Draft {
  std::optional<DType> dtype;
  std::optional<std::vector<uint64_t>> shape, offsets;
};

/// Follows the parser's events. The only texts accepted are {"name": {"dtype": s, "shape": [n...],
/// "data_offsets": [n, n]}} in any order and {"__metadata__": {"key": "value"}}.
class Reader : public nlohmann::json_sax<json> {
 public:
  Header take() { return std::move(header_); }

  bool start_object(size_t) override {
    if (depth_ == 2 || list_) wrong("an object stands where a value should");
    ++depth_;
    return true;
  }
  bool end_object() override {
    if (--depth_ == 1 && !in_metadata_) finish_entry();
    return true;
  }
  bool key(std::string& text) override {
    if (depth_ == 1)
      start_member(text);
    else
      start_field(text);
    return true;
  }
  bool string(std::string& text) override {
    if (depth_ == 2 && in_metadata_) {
      header_.metadata[field_] = text;
    } else if (depth_ == 2 && field_ == "dtype" && !list_) {
      draft_.dtype = dtype_of_format(text);
    } else {
      wrong("a text stands where none should");
    }
    return true;
  }
  bool start_array(size_t) override {
    if (depth_ != 2 || in_metadata_ || list_ || (field_ != "shape" && field_ != "data_offsets"))
      wrong("a list stands where none should");
    list_ = &(field_ == "shape" ? draft_.shape : draft_.offsets).emplace();
    return true;
  }
  bool end_array() override {
    list_ = nullptr;
    return true;
  }
  bool number_unsigned(uint64_t value) override {
    if (!list_) wrong("a number stands where none should");
    const size_t most = field_ == "shape" ? kMaxRank : 2;
    if (list_->size() == most) wrong(field_ + " has more than " + std::to_string(most) + " numbers");
    list_->push_back(value);
    return true;
  }
  bool number_integer(int64_t) override { wrong("a negative number stands in it"); }
  bool number_float(double, const std::string&) override {
    wrong("a number in it is not a whole number below 2^64");
  }
  bool null() override { wrong("null stands where a value should"); }
  bool boolean(bool) override { wrong("a boolean stands where a value should"); }
  bool binary(json::binary_t&) override { wrong("binary data stands in it"); }
  bool parse_error(size_t position, const std::string&, const json::exception&) override {
    throw UserError("its header is not valid JSON (byte " + std::to_string(position) + ")");
  }

 private:
  [[noreturn]] void wrong(const std::string& what) const {
    throw UserError("its header is malformed" + (name_.empty() ? "" : " at " + shown(name_)) + ": " + what);
  }
  void start_member(const std::string& name) {
    if (!names_.insert(name).second) throw UserError("its header names " + shown(name) + " twice");
    name_ = name;
    in_metadata_ = name == "__metadata__";
    draft_ = {};
    fields_.clear();
    field_.clear();
  }
  void start_field(const std::string& field) {
    if (!fields_.insert(field).second) wrong("the key " + shown(field) + " is given twice");
    if (!in_metadata_ && field != "dtype" && field != "shape" && field != "data_offsets")
      wrong("the key " + shown(field) + " is unknown");
    field_ = field;
  }
  DType dtype_of_format(const std::string& text) const {
    for (const auto& [dtype, format] : kFormatNames)
      if (format == text) return dtype;
    wrong("the dtype " + shown(text) + " is not supported (F32, F64, I64, I32 and BOOL are)");
  }
  void finish_entry() {
    if (!draft_.dtype || !draft_.shape || !draft_.offsets || draft_.offsets->size() != 2)
      wrong("dtype, shape and two data_offsets are needed");
    const uint64_t begin = (*draft_.offsets)[0], end = (*draft_.offsets)[1];
    uint64_t bytes = size_of(*draft_.dtype);
    Shape shape;
    for (const uint64_t size : *draft_.shape) {
      if (size > uint64_t{1} << 62 || __builtin_mul_overflow(bytes, size, &bytes))
        wrong("the shape is too large");
      shape.push_back(static_cast<int64_t>(size));
    }
    if (end < begin || end - begin != bytes)
      wrong("data_offsets do not span the " + std::to_string(bytes) + " bytes of its dtype and shape");
    header_.entries.push_back({name_, {*draft_.dtype, shape}, begin, end});
  }

  Header header_;
  int depth_ = 0;
  std::string name_, field_;
  std::set<std::string, std::less<>> names_, fields_;
  bool in_metadata_ = false;
  Draft draft_;
  std::vector<uint64_t>* list_ = nullptr;
};

void check_layout(std::vector<Entry>& entries, uint64_t buffer_bytes) {
  std::stable_sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) {
    return std::pair(a.begin, a.end) < std::pair(b.begin, b.end);
  });
  uint64_t at = 0;
  for (const Entry& entry : entries) {
    if (entry.end > buffer_bytes)
      throw UserError("the bytes of " + shown(entry.name) + " reach past the end of the file");
    if (entry.begin < at)
      throw UserError("the bytes of " + shown(entry.name) + " overlap those of another tensor");
    if (entry.begin > at) throw UserError("there is a hole before the bytes of " + shown(entry.name));
    at = entry.end;
  }
  if (at != buffer_bytes) throw UserError("bytes at its end belong to no tensor");
}

}  // namespace

std::string_view format_name(DType dtype) {
  for (const auto& [other, format] : kFormatNames)
    if (other == dtype) return format;
  throw InternalError("safetensors: a dtype without a name");
}

Header parse_header(std::string_view text, uint64_t buffer_bytes) {
  if (text.empty() || text.front() != '{') throw UserError("its header does not begin with {");
  Reader reader;
  if (!json::sax_parse(text.begin(), text.end(), &reader)) throw UserError("its header is not valid JSON");
  Header header = reader.take();
  check_layout(header.entries, buffer_bytes);
  return header;
}

std::string format_header(const NamedTensors& tensors, const std::map<std::string, std::string>& metadata) {
  nlohmann::ordered_json header = nlohmann::ordered_json::object();
  if (!metadata.empty()) header["__metadata__"] = metadata;
  std::set<std::string> names = {"__metadata__"};
  uint64_t at = 0;
  for (const auto& [name, tensor] : tensors) {
    if (!names.insert(name).second)
      throw UserError("the name " + shown(name) + " is taken twice or reserved");
    const uint64_t bytes = static_cast<uint64_t>(tensor.element_count()) * size_of(tensor.dtype());
    const auto dims = tensor.shape().dims();
    header.push_back({name,
                      {{"dtype", format_name(tensor.dtype())},
                       {"shape", std::vector<int64_t>(dims.begin(), dims.end())},
                       {"data_offsets", {at, at + bytes}}}});
    at += bytes;
  }
  std::string text;
  try {
    text = header.dump();
  } catch (const json::exception&) {
    throw UserError("a name or the metadata is not valid UTF-8");
  }
  text.append((8 - text.size() % 8) % 8, ' ');
  if (text.size() > kMaxHeaderBytes) throw UserError("names and metadata take more than 100 MB");
  return text;
}

}  // namespace calque::safetensors
