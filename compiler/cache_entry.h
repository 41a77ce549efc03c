// The bytes of one entry of the disk cache.
#pragma once

#include <string>
#include <string_view>

#include "compiler/cache.h"

namespace calque {

/// XXH3-128 of the bytes, 16 bytes. It finds accidents, not forgeries.
std::string checksum_of(std::string_view bytes);

/// Name of the entry's file: checksum of the key text as 32 hexadecimal digits, and `.calque`.
std::string entry_file_name(std::string_view key);
bool is_entry_file_name(std::string_view name);

/// Header (magic, version, counts, sizes, checksum), key text, parts.
std::string encode_entry(std::string_view key, const Blobs& parts);

/// An entry (of at least a header) with its size and checksum set anew. Tests forge entries with it.
std::string with_fresh_checksum(std::string bytes);

/// The checksum that an entry (of at least a header) holds, which covers all of it.
std::string entry_checksum(std::string_view bytes);

struct DecodedEntry {
  std::string_view key;  // within the bytes that were decoded
  Blobs parts;
  const char* fault = nullptr;  // what is wrong with the bytes; all else is empty then
};

/// Takes an entry apart. The bytes may be anything: no length is used before it is checked.
DecodedEntry decode_entry(std::string_view bytes);

}  // namespace calque
