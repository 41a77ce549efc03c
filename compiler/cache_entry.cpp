// Entries of the disk cache as bytes.
#include "compiler/cache_entry.h"

#include <xxhash.h>

#include <cstddef>
#include <cstring>
#include <utility>

namespace calque {

namespace {

constexpr char kEntryMagic[8] = {'C', 'A', 'L', 'Q', 'U', 'E', '\r', '\n'};  // a text conversion breaks it
constexpr uint32_t kEntryVersion = 1;
constexpr std::string_view kSuffix = ".calque";  // so that nothing else in the folder is taken for an entry

struct EntryHeader {
  char magic[8];
  uint32_t version;
  uint32_t part_count;
  uint64_t entry_bytes;  // of the whole file
  uint64_t key_bytes;
  unsigned char checksum[16];  // XXH3-128 of the whole entry, with these bytes as zeros
};
static_assert(sizeof(EntryHeader) == 48);

void fill_checksum(EntryHeader& header, std::string_view rest) {
  std::memset(header.checksum, 0, sizeof(header.checksum));
  XXH3_state_t state;
  XXH3_128bits_reset(&state);
  XXH3_128bits_update(&state, &header, sizeof(header));
  XXH3_128bits_update(&state, rest.data(), rest.size());
  XXH128_canonical_t canonical;
  XXH128_canonicalFromHash(&canonical, XXH3_128bits_digest(&state));
  std::memcpy(header.checksum, canonical.digest, sizeof(header.checksum));
}

void append_size(std::string& bytes, uint64_t size) {
  bytes.append(reinterpret_cast<const char*>(&size), sizeof(size));
}

/// Takes pieces off the front of the bytes, as far as there are enough.
class Cursor {
 public:
  explicit Cursor(std::string_view rest) : rest_(rest) {}
  bool take(uint64_t size, std::string_view& piece) {
    if (size > rest_.size()) return false;
    piece = rest_.substr(0, size);
    rest_.remove_prefix(size);
    return true;
  }
  bool take_size(uint64_t& size) {
    std::string_view piece;
    if (!take(sizeof(size), piece)) return false;
    std::memcpy(&size, piece.data(), sizeof(size));
    return true;
  }
  bool is_at_end() const { return rest_.empty(); }

 private:
  std::string_view rest_;
};

bool take_part(Cursor& cursor, Blobs& parts) {
  uint64_t name_bytes = 0, data_bytes = 0;
  std::string_view name, data;
  return cursor.take_size(name_bytes) && cursor.take_size(data_bytes) && cursor.take(name_bytes, name) &&
         cursor.take(data_bytes, data) && parts.emplace(name, data).second;
}

DecodedEntry broken(const char* fault) {
  DecodedEntry result;
  result.fault = fault;
  return result;
}

}  // namespace

std::string checksum_of(std::string_view bytes) {
  XXH128_canonical_t canonical;
  XXH128_canonicalFromHash(&canonical, XXH3_128bits(bytes.data(), bytes.size()));
  return {reinterpret_cast<const char*>(canonical.digest), sizeof(canonical.digest)};
}

std::string entry_checksum(std::string_view bytes) {
  return std::string(bytes.substr(offsetof(EntryHeader, checksum), sizeof(EntryHeader::checksum)));
}

std::string entry_file_name(std::string_view key) {
  std::string name;
  for (const char character : checksum_of(key)) {
    const auto byte = static_cast<unsigned char>(character);
    name += "0123456789abcdef"[byte >> 4];
    name += "0123456789abcdef"[byte & 15];
  }
  name += kSuffix;
  return name;
}

bool is_entry_file_name(std::string_view name) {
  if (name.size() != 32 + kSuffix.size() || !name.ends_with(kSuffix)) return false;
  return name.find_first_not_of("0123456789abcdef") == 32;
}

std::string encode_entry(std::string_view key, const Blobs& parts) {
  std::string bytes(sizeof(EntryHeader), '\0');
  bytes += key;
  for (const auto& [name, data] : parts) {
    append_size(bytes, name.size());
    append_size(bytes, data.size());
    bytes += name;
    bytes += data;
  }
  EntryHeader header{};
  std::memcpy(header.magic, kEntryMagic, sizeof(kEntryMagic));
  header.version = kEntryVersion;
  header.part_count = static_cast<uint32_t>(parts.size());
  header.key_bytes = key.size();
  std::memcpy(bytes.data(), &header, sizeof(header));
  return with_fresh_checksum(std::move(bytes));
}

std::string with_fresh_checksum(std::string bytes) {
  EntryHeader header;
  std::memcpy(&header, bytes.data(), sizeof(header));
  header.entry_bytes = bytes.size();
  fill_checksum(header, std::string_view(bytes).substr(sizeof(header)));
  std::memcpy(bytes.data(), &header, sizeof(header));
  return bytes;
}

DecodedEntry decode_entry(std::string_view bytes) {
  EntryHeader header;
  if (bytes.size() < sizeof(header)) return broken("it is shorter than its header");
  std::memcpy(&header, bytes.data(), sizeof(header));
  if (std::memcmp(header.magic, kEntryMagic, sizeof(kEntryMagic)) != 0) return broken("it does not begin as an entry");
  if (header.version != kEntryVersion) return broken("it is of another version");
  if (header.entry_bytes != bytes.size()) return broken("its size is not what its header says");
  EntryHeader expected = header;
  fill_checksum(expected, bytes.substr(sizeof(header)));
  if (std::memcmp(expected.checksum, header.checksum, sizeof(header.checksum)) != 0)
    return broken("its checksum does not fit");
  // A checksum keeps out accidents; the lengths are checked all the same.
  Cursor cursor(bytes.substr(sizeof(header)));
  DecodedEntry result;
  if (!cursor.take(header.key_bytes, result.key)) return broken("its key is cut off");
  for (uint32_t i = 0; i < header.part_count; ++i)
    if (!take_part(cursor, result.parts)) return broken("its parts are cut off or twice the same");
  if (!cursor.is_at_end()) return broken("something follows its parts");
  return result;
}

}  // namespace calque
