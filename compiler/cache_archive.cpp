// Writing and reading files of cache entries. A file is read twice: first it is checked whole, then its
// entries are stored, each checked again, since the file may have changed meanwhile.
#include "compiler/cache_archive.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <functional>
#include <map>
#include <set>

#include "compiler/cache_entry.h"
#include "compiler/cache_folder.h"
#include "compiler/codegen_client.h"
#include "compiler/plan_cache.h"
#include "compiler/plan_entry.h"
#include "ir/op/error.h"

namespace calque {

namespace {

constexpr char kArchiveMagic[8] = {'C', 'A', 'L', 'Q', 'W', 'R', '\r', '\n'};  // a text conversion breaks it
constexpr uint32_t kArchiveVersion = 1;

struct ArchiveHeader {
  char magic[8];
  uint32_t version;
  uint32_t reserved;  // zero
  uint64_t entry_count;
  uint64_t archive_bytes;  // of the whole file
  char checksum[16];       // of this header, with these bytes as zeros, and the checksums of all entries
};
static_assert(sizeof(ArchiveHeader) == 48);

/// The header of an archive whose entries have these checksums.
ArchiveHeader make_header(uint64_t entry_count, uint64_t archive_bytes, std::string_view checksums) {
  ArchiveHeader header{};
  std::memcpy(header.magic, kArchiveMagic, sizeof(kArchiveMagic));
  header.version = kArchiveVersion;
  header.entry_count = entry_count;
  header.archive_bytes = archive_bytes;
  std::string covered(reinterpret_cast<const char*>(&header), sizeof(header));
  covered += checksums;
  std::memcpy(header.checksum, checksum_of(covered).data(), sizeof(header.checksum));
  return header;
}

std::string_view as_text(const ArchiveHeader& header) {
  return {reinterpret_cast<const char*>(&header), sizeof(header)};
}

// --- writing

/// A file that appears under its name when it is whole, or not at all.
class NewFile {
 public:
  explicit NewFile(const std::string& path)
      : path_(path),
        temporary_(fmt::format("{}.{}.tmp", path, getpid())),
        file_(::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666)) {
    if (!file_.is_open()) fail(std::strerror(errno));
    is_there_ = true;
  }
  ~NewFile() {
    if (is_there_) ::unlink(temporary_.c_str());
  }
  NewFile(const NewFile&) = delete;
  NewFile& operator=(const NewFile&) = delete;

  void append(std::string_view bytes) {
    if (const std::string fault = write_bytes(file_.get(), bytes); !fault.empty()) fail(fault);
  }
  void finish(std::string_view beginning) {
    if (::lseek(file_.get(), 0, SEEK_SET) != 0) fail(std::strerror(errno));
    append(beginning);
    if (::fsync(file_.get()) != 0 || ::rename(temporary_.c_str(), path_.c_str()) != 0)
      fail(std::strerror(errno));
    is_there_ = false;
  }

 private:
  [[noreturn]] void fail(const std::string& why) const {
    throw EnvironmentError(fmt::format("cannot write {}: {}", path_, why));
  }

  std::string path_, temporary_;
  FileDescriptor file_;
  bool is_there_ = false;
};

/// Whether an entry goes into an archive; counts it.
bool is_exported(const EntryInfo& info, const Blobs& parts, CacheTransfer& transfer) {
  const std::optional<PlanKey> key = info.fault.empty() ? parse_plan_key(info.key) : std::nullopt;
  if (key && !is_of_this_build(*key)) {
    ++transfer.other_build;
    return false;
  }
  if (!key || !fault_of_plan(parts).empty()) {
    ++transfer.damaged;
    return false;
  }
  return true;
}

// --- reading

/// The file that is imported. Every fault is a UserError that names it.
class Archive {
 public:
  explicit Archive(const std::string& path)
      : path_(path), file_(::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC)) {
    if (!file_.is_open()) throw UserError(fmt::format("cannot open {}: {}", path, std::strerror(errno)));
    struct stat status {};
    if (fstat(file_.get(), &status) != 0 || !S_ISREG(status.st_mode)) fail("it is not a file");
    bytes_ = static_cast<uint64_t>(status.st_size);
    read(&header_, sizeof(header_));
    if (std::memcmp(header_.magic, kArchiveMagic, sizeof(kArchiveMagic)) != 0) fail("it does not begin as one");
    if (header_.version != kArchiveVersion) fail("it is of another version");
    if (header_.archive_bytes != bytes_) fail("its size is not what its header says");
  }

  /// Gives each entry, whole and sound; afterwards the archive is known to be what was exported.
  void read_entries(const std::function<void(std::string_view bytes, const DecodedEntry&)>& take) {
    at_ = sizeof(header_);
    std::string bytes, checksums;
    for (uint64_t i = 0; i < header_.entry_count; ++i) {
      read_entry(bytes);
      const DecodedEntry entry = decode_entry(bytes);
      if (entry.fault) fail(fmt::format("in its entry {}: {}", i + 1, entry.fault));
      checksums += entry_checksum(bytes);
      take(bytes, entry);
    }
    if (at_ != bytes_) fail("something follows its entries");
    if (as_text(make_header(header_.entry_count, bytes_, checksums)) != as_text(header_))
      fail("its checksum does not fit");
  }

  [[noreturn]] void fail(std::string_view why) const {
    throw UserError(fmt::format("{} is not a usable export of a cache: {}", path_, why));
  }

 private:
  void read_entry(std::string& bytes) {
    uint64_t size = 0;
    read(&size, sizeof(size));
    if (size > kMostEntryBytes || size > bytes_ - at_) fail("an entry of it is cut off");
    bytes.resize(size);
    read(bytes.data(), size);
  }

  void read(void* destination, uint64_t size) {
    if (size > bytes_ - at_) fail("it is cut off");
    auto* to = static_cast<char*>(destination);
    while (size > 0) {
      const ssize_t count = ::pread(file_.get(), to, size, static_cast<off_t>(at_));
      if (count < 0 && errno == EINTR) continue;
      if (count <= 0) fail(count < 0 ? std::strerror(errno) : "it is cut off");
      to += count;
      at_ += static_cast<uint64_t>(count);
      size -= static_cast<uint64_t>(count);
    }
  }

  std::string path_;
  FileDescriptor file_;
  ArchiveHeader header_{};
  uint64_t bytes_ = 0, at_ = 0;
};

std::string own_isa() {
  try {
    return codegen_isa();
  } catch (const EnvironmentError&) {
    return "";  // nothing is compiled here, so nothing fits
  }
}

/// Whether this process could use the program; counts it.
bool is_usable(const PlanKey& key, const std::string& isa, CacheTransfer& transfer) {
  if (!is_of_this_build(key))
    ++transfer.other_build;
  else if (key.header.isa != isa)
    ++transfer.other_processor;
  else
    return true;
  return false;
}

/// Goes through all of the archive; gives the names of the entries to store.
std::set<std::string> check(Archive& archive, uint64_t most_bytes, CacheTransfer& transfer) {
  const std::string isa = own_isa();
  std::set<std::string> all, usable;
  uint64_t total = 0;
  archive.read_entries([&](std::string_view bytes, const DecodedEntry& entry) {
    const std::optional<PlanKey> key = parse_plan_key(entry.key);
    if (!key) archive.fail("an entry of it is no compiled program");
    if (!all.insert(entry_file_name(entry.key)).second) archive.fail("an entry is in it twice");
    if (!is_usable(*key, isa, transfer)) return;
    if (const std::string fault = fault_of_plan(entry.parts); !fault.empty())
      archive.fail(fmt::format("an entry of it is broken: {}", fault));
    usable.insert(entry_file_name(entry.key));
    total += bytes.size();
  });
  if (total > most_bytes)
    throw UserError(fmt::format(
        "the entries to import have {} bytes, and the cache keeps at most {}; raise CALQUE_CACHE_MAX_BYTES",
        total, most_bytes));
  if (usable.size() > DiskCache::kMostEntries)
    throw UserError(fmt::format("there are {} entries to import, and the cache holds at most {}; export fewer programs",
                                usable.size(), DiskCache::kMostEntries));
  return usable;
}

}  // namespace

CacheTransfer export_archive(const DiskCache& cache, const std::string& path) {
  cache.require_folder();
  CacheTransfer transfer;
  std::map<std::string, std::string> checksums;  // in the order of names: one cache gives one file
  cache.visit([&](const EntryInfo& info, const Blobs& parts, std::string_view bytes) {
    if (is_exported(info, parts, transfer)) checksums[info.file] = entry_checksum(bytes);
  });
  NewFile file(path);
  file.append(std::string(sizeof(ArchiveHeader), '\0'));
  std::string all;
  for (const auto& [name, checksum] : checksums) {
    const std::string bytes = cache.entry_bytes(name);
    if (decode_entry(bytes).fault || entry_checksum(bytes) != checksum)
      continue;  // removed or replaced meanwhile
    const uint64_t size = bytes.size();
    file.append({reinterpret_cast<const char*>(&size), sizeof(size)});
    file.append(bytes);
    all += checksum;
    ++transfer.entries;
    transfer.bytes += sizeof(size) + size;
  }
  transfer.bytes += sizeof(ArchiveHeader);
  file.finish(as_text(make_header(transfer.entries, transfer.bytes, all)));
  return transfer;
}

CacheTransfer import_archive(DiskCache& cache, const std::string& path) {
  cache.require_folder();
  CacheTransfer transfer;
  Archive archive(path);
  const std::set<std::string> usable = check(archive, cache.kept_bytes(), transfer);
  archive.read_entries([&](std::string_view bytes, const DecodedEntry& entry) {
    if (!usable.contains(entry_file_name(entry.key))) return;
    if (cache.load(entry.key)) {
      ++transfer.present;
      return;
    }
    cache.store_bytes(entry.key, bytes);
    ++transfer.entries;
    transfer.bytes += bytes.size();
  });
  return transfer;
}

CacheTransfer export_cache(const std::string& path) { return export_archive(disk_cache(), path); }

CacheTransfer import_cache(const std::string& path) { return import_archive(disk_cache(), path); }

CacheStats cache_stats() {
  const DiskCacheCounts& disk = disk_cache().counts();
  const ProgramTable::Counts memory = memory_cache().counts();
  return {memory.hits,     disk.hits,    disk.misses,    disk.stored, disk.faults,
          memory.programs, memory.bytes, memory.evicted, disk.evicted};
}

}  // namespace calque
