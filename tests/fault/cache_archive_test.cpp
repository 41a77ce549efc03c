// Warm caches as files: what is taken along, what is left out, and that a file which is not what was exported
// changes nothing.
#include "compiler/cache_archive.h"

#include "tests/fault/folders.h"

#include <sys/stat.h>

#include <cstring>

#include "compiler/codegen_client.h"
#include "compiler/plan_entry.h"
#include "runtime/kernels/isa.h"

namespace fs = std::filesystem;
using namespace calque;
using namespace calque::test;

namespace {

const char* const kTwice = R"(graph @twice(%x: f32[8]) -> (f32[8]) {
  %0 = fusion %x {domain = 0, rows = 1, columns = 8} : f32[8] (%x0: f32[8]) {
    %0 = add %x0, %x0 : f32[8]
    return %0
  }
  return %0
}
)";

bool can_compile() {
  if (kernels::isa_level() != kernels::IsaLevel::baseline) return true;
  WARN("SKIP: nothing is compiled on this machine");
  return false;
}

std::string key_for(const PlanHeader& header, int number) {
  return print(header) + "slot " + std::to_string(number) + "\n" + kTwice;
}

Blobs program() {
  static const CodegenOutput output = generate(kTwice, false);
  return {{"forward", kTwice},
          {"forward.kernel 0", {reinterpret_cast<const char*>(output.image.data()), output.image.size()}}};
}

/// A cache of three programs of this build and processor.
void fill(DiskCache& cache) {
  for (int i = 0; i < 3; ++i) cache.store(key_for(own_plan_header(), i), program());
}

void append(std::string& bytes, uint64_t number) {
  bytes.append(reinterpret_cast<const char*>(&number), sizeof(number));
}

/// An archive as docs/cache.md describes it, of whatever is given as entries.
std::string archive_of(const std::vector<std::string>& entries, uint64_t count) {
  std::string records, checksums;
  for (const std::string& entry : entries) {
    append(records, entry.size());
    records += entry;
    checksums += entry_checksum(entry);
  }
  std::string header("CALQWR\r\n\1\0\0\0\0\0\0\0", 16);
  append(header, count);
  append(header, 48 + records.size());
  header += checksum_of(header + std::string(16, '\0') + checksums);
  return header + records;
}

std::string archive_of(const std::vector<std::string>& entries) {
  return archive_of(entries, entries.size());
}

/// Whether the file is refused as the user's error, before the folder was even made.
bool is_refused_untouched(const std::string& folder, const std::string& file) {
  DiskCache cache(folder, kPlenty);
  try {
    import_archive(cache, file);
  } catch (const UserError&) {
    return !fs::exists(folder);
  }
  return false;
}

}  // namespace

TEST_CASE("a warm cache goes into a file and comes out of it") {
  if (!can_compile()) return;
  const Scratch scratch;
  DiskCache cache(scratch / "cache", kPlenty), other(scratch / "deep/other", kPlenty);
  fill(cache);
  const CacheTransfer out = export_archive(cache, scratch / "warm");
  CHECK(out.entries == 3);
  CHECK(out.bytes == fs::file_size(scratch / "warm"));
  CHECK(names_in(scratch / "") == std::vector<std::string>{"cache", "warm"});  // nothing temporary

  const CacheTransfer in = import_archive(other, scratch / "warm");
  CHECK(in.entries == 3);
  CHECK(in.present + in.other_build + in.other_processor == 0);
  CHECK((fs::status(other.folder()).permissions() & fs::perms::all) == fs::perms::owner_all);
  for (int i = 0; i < 3; ++i) CHECK(other.load(key_for(own_plan_header(), i)) == program());
  CHECK(names_in(other.folder()) == names_in(cache.folder()));

  const CacheTransfer again = import_archive(other, scratch / "warm");
  CHECK(again.entries == 0);
  CHECK(again.present == 3);
  export_archive(other, scratch / "again");
  CHECK(read_all(scratch / "again") == read_all(scratch / "warm"));  // one cache, one file

  CHECK(export_archive(DiskCache(scratch / "none", kPlenty), scratch / "empty").entries == 0);
  CHECK(import_archive(other, scratch / "empty").entries == 0);
}

TEST_CASE("what another build made stays behind, what is for another processor is not stored") {
  if (!can_compile()) return;
  const Scratch scratch;
  DiskCache cache(scratch / "cache", kPlenty), other(scratch / "other", kPlenty);
  fill(cache);
  PlanHeader foreign = own_plan_header(), old = foreign, wide = foreign;
  old.build = "0000000000000000";
  foreign.codegen = "LLVM 3.4";
  wide.isa = "avx9";
  for (const PlanHeader& header : {old, foreign, wide}) cache.store(key_for(header, 0), program());
  cache.store("no program", parts_of(1));
  cache.store(key_for(own_plan_header(), 8), {{"forward", "graph @half("}});
  cache.store(key_for(own_plan_header(), 9), program());
  write_all(path_of(cache, key_for(own_plan_header(), 9)), "CALQUE");

  const CacheTransfer out = export_archive(cache, scratch / "warm");
  CHECK(out.entries == 4);
  CHECK(out.other_build == 2);
  CHECK(out.damaged == 3);
  const CacheTransfer in = import_archive(other, scratch / "warm");
  CHECK(in.entries == 3);
  CHECK(in.other_processor == 1);

  // Files of another build are read all the same, and nothing of them stored.
  write_all(scratch / "old",
            archive_of({encode_entry(key_for(old, 0), program()), encode_entry(key_for(foreign, 0), {})}));
  DiskCache none(scratch / "none", kPlenty);
  CHECK(import_archive(none, scratch / "old").other_build == 2);
  CHECK_FALSE(fs::exists(none.folder()));
}

TEST_CASE("an exported file with any byte changed, or cut anywhere, is refused and changes nothing") {
  if (!can_compile()) return;
  const Scratch scratch;
  DiskCache cache(scratch / "cache", kPlenty);
  fill(cache);
  export_archive(cache, scratch / "warm");
  const std::string sound = read_all(scratch / "warm"), file = scratch / "damaged";
  size_t refused = 0;
  for (size_t i = 0; i < sound.size(); ++i) {
    std::string damaged = sound;
    damaged[i] = static_cast<char>(damaged[i] ^ (i % 2 ? 0xff : 0x10));
    write_all(file, damaged);
    refused += is_refused_untouched(scratch / "other", file);
  }
  CHECK(refused == sound.size());
  refused = 0;
  for (size_t size = 0; size < sound.size(); ++size) {
    write_all(file, sound.substr(0, size));
    refused += is_refused_untouched(scratch / "other", file);
  }
  CHECK(refused == sound.size());
  write_all(file, sound + '\0');
  CHECK(is_refused_untouched(scratch / "other", file));
}

TEST_CASE("forged files are refused, whatever their checksums say") {
  if (!can_compile()) return;
  const Scratch scratch;
  const std::string good = encode_entry(key_for(own_plan_header(), 0), program()),
                    second = encode_entry(key_for(own_plan_header(), 1), program()),
                    file = scratch / "forged";
  const auto refuses = [&](const std::string& bytes) {
    write_all(file, bytes);
    return is_refused_untouched(scratch / "other", file);
  };
  DiskCache control(scratch / "control", kPlenty);
  write_all(file, archive_of({good, second}));
  REQUIRE(import_archive(control, file).entries == 2);

  // Keys that look like paths: a key is no name, and these are no programs.
  for (const char* key : {"../../escaped", "/etc/passwd", "", ".calque-new-1", "calque plan\nbuild ../..\n"})
    CHECK(refuses(archive_of({good, encode_entry(key, program())})));
  CHECK(refuses(archive_of({good, good})));
  for (const uint64_t count : {uint64_t{0}, uint64_t{1}, uint64_t{3}, uint64_t{1} << 63, UINT64_MAX})
    CHECK(refuses(archive_of({good, second}, count)));
  // Lengths that lie.
  for (const uint64_t lie :
       {uint64_t{0}, uint64_t{47}, uint64_t{48}, uint64_t{1} << 28, uint64_t{1} << 40, UINT64_MAX}) {
    std::string bytes = archive_of({good, second});
    std::memcpy(bytes.data() + 48, &lie, sizeof(lie));
    CHECK(refuses(bytes));
  }
  // Sound entries whose parts are not what they should be.
  Blobs no_image = program(), no_text = program(), other_image = program(), fewer = program();
  fewer.erase("forward.kernel 0");
  no_image["forward.kernel 0"] = "no image";
  no_text["forward"] = "graph @twice(%x: f32[8]) -> (f32[8]) { return %y }";
  other_image["forward.kernel 0"].resize(200);
  for (const Blobs& parts : {no_image, no_text, other_image, fewer, Blobs{}})
    CHECK(refuses(archive_of({good, encode_entry(key_for(own_plan_header(), 2), parts)})));
}

TEST_CASE("files that are no exports are refused, and folders keep their rules") {
  if (!can_compile()) return;
  const Quiet quiet;
  const Scratch scratch;
  DiskCache cache(scratch / "cache", kPlenty);
  fill(cache);
  export_archive(cache, scratch / "warm");
  const std::string other = scratch / "other";

  CHECK(is_refused_untouched(other, scratch / "missing"));
  CHECK(is_refused_untouched(other, cache.folder()));
  REQUIRE(mkfifo((scratch / "pipe").c_str(), 0600) == 0);
  CHECK(is_refused_untouched(other, scratch / "pipe"));
  fs::copy_file(scratch / "warm", scratch / "huge");
  fs::resize_file(scratch / "huge", uintmax_t{1} << 40);
  CHECK(is_refused_untouched(other, scratch / "huge"));
  CHECK(is_refused_untouched(other, path_of(cache, key_for(own_plan_header(), 0))));
  DiskCache small(scratch / "small", 1000);
  CHECK_THROWS_AS(import_archive(small, scratch / "warm"), UserError);
  CHECK_FALSE(fs::exists(small.folder()));

  DiskCache nowhere("", kPlenty);
  CHECK_THROWS_AS(import_archive(nowhere, scratch / "warm"), EnvironmentError);
  CHECK_THROWS_AS(export_archive(nowhere, scratch / "new"), EnvironmentError);
  DiskCache open(scratch / "open", kPlenty);
  fs::create_directory(open.folder());
  fs::permissions(open.folder(), fs::perms::all);
  fs::create_directory_symlink(cache.folder(), scratch / "link");
  DiskCache link(scratch / "link", kPlenty);
  for (DiskCache* refused : {&open, &link}) {
    CHECK_THROWS_AS(import_archive(*refused, scratch / "warm"), EnvironmentError);
    CHECK_THROWS_AS(export_archive(*refused, scratch / "new"), EnvironmentError);
  }
  CHECK(names_in(open.folder()).empty());

  CHECK_THROWS_AS(export_archive(cache, scratch / "no/such/folder"), EnvironmentError);
  fs::create_directory(scratch / "taken");
  CHECK_THROWS_AS(export_archive(cache, scratch / "taken"), EnvironmentError);
  for (const std::string& name : names_in(scratch / "")) CHECK_FALSE(name.ends_with(".tmp"));
  CHECK_FALSE(fs::exists(scratch / "new"));
}
