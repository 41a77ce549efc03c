// The bytes of one entry of the disk cache.
#pragma once

#include <string>
#include <string_view>

#include "compiler/cache.h"

namespace calque {

/// Name of the entry's file: XXH3-128 of the key text, 32 hexadecimal digits.
std::string entry_file_name(std::string_view key);
bool is_entry_file_name(std::string_view name);

/// Header (magic, version, counts, sizes, checksum), key text, parts.
std::string encode_entry(std::string_view key, const Blobs& parts);

/// An entry (of at least a header) with its size and checksum set anew. Tests forge entries with it.
std::string with_fresh_checksum(std::string bytes);

struct DecodedEntry {
  std::string_view key;  // within the bytes that were decoded
  Blobs parts;
  const char* fault = nullptr;  // what is wrong with the bytes; all else is empty then
};

/// Takes an entry apart. The bytes may be anything: no length is used before it is checked.
DecodedEntry decode_entry(std::string_view bytes);

}  // namespace calque
