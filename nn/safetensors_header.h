// The JSON header of a safetensors file: what it says, checked; and its text.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "calque/nn/module.h"

namespace calque::safetensors {

inline constexpr uint64_t kMaxHeaderBytes = 100'000'000;  // as in the reference implementation

/// One tensor of the file: bytes [begin, end) of the buffer that follows the header.
struct Entry {
  std::string name;
  Type type;
  uint64_t begin = 0, end = 0;
};

struct Header {
  std::vector<Entry> entries;  // in the order of their bytes
  std::map<std::string, std::string> metadata;
};

/// Name of a dtype in these files: F32, F64, I64, I32, BOOL.
std::string_view format_name(DType dtype);

/// Throws UserError (a sentence without the file's name) unless the entries fill a buffer of `buffer_bytes`
/// exactly, without holes, overlaps or names given twice.
Header parse_header(std::string_view text, uint64_t buffer_bytes);

/// The header's text, padded so that the buffer starts at a multiple of 8. Throws UserError for unfit names.
std::string format_header(const NamedTensors& tensors, const std::map<std::string, std::string>& metadata);

}  // namespace calque::safetensors
