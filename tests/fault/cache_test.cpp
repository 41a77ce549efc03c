// The disk cache under faults: damaged entries, folders that may not be trusted, several processes, killed
// writers.
#include "tests/fault/folders.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <cstdlib>
#include <optional>

namespace fs = std::filesystem;
using namespace calque;
using namespace calque::test;

namespace {

const Blobs kSmall = {{"image", std::string("\0\x01\xff", 3)}, {"empty", ""}, {"text", "graph @cell"}};

}  // namespace

TEST_CASE("what was stored is loaded, by another object too") {
  const Scratch scratch;
  DiskCache cache(scratch / "a/b/cache", kPlenty);
  CHECK_FALSE(cache.load("key"));
  cache.store("key", kSmall);
  CHECK(cache.load("key") == kSmall);
  CHECK(DiskCache(scratch / "a/b/cache", kPlenty).load("key") == kSmall);
  CHECK((fs::status(scratch / "a/b/cache").permissions() & fs::perms::all) == fs::perms::owner_all);

  cache.store("key", {});
  CHECK(cache.load("key") == Blobs{});
  cache.store("key", parts_of(3));
  CHECK(cache.load("key") == parts_of(3));
  REQUIRE(cache.list().size() == 1);
  CHECK(cache.list()[0].key == "key");
  CHECK(cache.verify().empty());
  CHECK(cache.clear().entries == 1);
  CHECK_FALSE(cache.load("key"));
}

TEST_CASE("another key is a miss, also where the file's name is the same") {
  const Quiet quiet;
  const Scratch scratch;
  DiskCache cache(scratch / "cache", kPlenty);
  cache.store("key", kSmall);
  for (const char* other : {"", "ke", "key ", "Key", "keykey"}) CHECK_FALSE(cache.load(other));
  fs::copy_file(path_of(cache, "key"), path_of(cache, "other"));  // as if both had one hash
  CHECK_FALSE(cache.load("other"));
  CHECK(cache.load("key") == kSmall);
  CHECK(cache.verify().size() == 1);
  cache.store("other", parts_of(1));
  CHECK(cache.load("other") == parts_of(1));
}

TEST_CASE("an entry with any byte changed is a miss") {
  const Quiet quiet;
  const Scratch scratch;
  DiskCache cache(scratch / "cache", kPlenty);
  cache.store("the key", kSmall);
  const std::string path = path_of(cache, "the key"), sound = read_all(path);
  int hits = 0;
  for (size_t i = 0; i < sound.size(); ++i) {
    for (const int flip : {0x01, 0x80, 0xff}) {
      std::string damaged = sound;
      damaged[i] = static_cast<char>(damaged[i] ^ flip);
      write_all(path, damaged);
      hits += cache.load("the key").has_value();
    }
  }
  CHECK(hits == 0);
  write_all(path, sound);
  CHECK(cache.load("the key") == kSmall);
}

TEST_CASE("an entry cut or lengthened anywhere is a miss") {
  const Quiet quiet;
  const Scratch scratch;
  DiskCache cache(scratch / "cache", kPlenty);
  cache.store("the key", kSmall);
  const std::string path = path_of(cache, "the key"), sound = read_all(path);
  int hits = 0;
  for (size_t size = 0; size < sound.size(); ++size) {
    write_all(path, sound.substr(0, size));
    hits += cache.load("the key").has_value();
    hits += decode_entry(std::string_view(sound).substr(0, size)).fault == nullptr;
  }
  for (size_t more = 1; more < 40; ++more) {
    write_all(path, sound + std::string(more, '\0'));
    hits += cache.load("the key").has_value();
  }
  CHECK(hits == 0);
}

TEST_CASE("lengths that lie are found even under a right checksum") {
  // Every word of an entry is replaced by hostile lengths, and the checksum made to fit: nothing may crash,
  // and what is taken for sound must lie inside the entry.
  const std::string sound = encode_entry("the key", kSmall);
  const uint64_t lies[] = {
      0, 1, 7, 8, 0x7fffffff, 0xffffffff, UINT64_MAX, UINT64_MAX - 7, uint64_t{1} << 63, sound.size()};
  size_t rejected = 0;
  for (size_t offset = 48; offset + 8 <= sound.size(); ++offset) {
    for (const uint64_t lie : lies) {
      std::string bytes = sound;
      bytes.replace(offset, 8, reinterpret_cast<const char*>(&lie), 8);
      const DecodedEntry entry = decode_entry(with_fresh_checksum(bytes));
      size_t total = entry.key.size();
      for (const auto& [name, data] : entry.parts) total += name.size() + data.size();
      REQUIRE(total <= bytes.size());
      rejected += entry.fault != nullptr;
    }
  }
  for (const size_t field : {12, 24}) {  // how many parts, how long the key is
    std::string bytes = sound;
    bytes.replace(field, 4, "\xff\xff\xff\x7f", 4);
    CHECK(decode_entry(with_fresh_checksum(bytes)).fault != nullptr);
  }
  CHECK(decode_entry(with_fresh_checksum(sound)).fault == nullptr);
  CHECK(rejected > 100);
}

TEST_CASE("folders that others could write to are not used") {
  const Quiet quiet;
  const Scratch scratch;
  const std::string path = scratch / "cache";
  DiskCache cache(path, kPlenty);
  cache.store("key", kSmall);
  REQUIRE(cache.load("key"));

  SECTION("writable by the group or by all") {
    for (const mode_t mode : {0770, 0720, 0702, 0777, 01777}) {
      REQUIRE(chmod(path.c_str(), mode) == 0);
      CHECK_FALSE(cache.load("key"));
      cache.store("new", kSmall);
      CHECK_FALSE(fs::exists(path_of(cache, "new")));
      CHECK(is_refused(cache));
      CHECK_THROWS_AS(cache.clear(), EnvironmentError);
    }
    REQUIRE(chmod(path.c_str(), 0755) == 0);  // others may read
    CHECK(cache.load("key") == kSmall);
  }
  SECTION("a symbolic link") {
    fs::create_directory_symlink(path, scratch / "link");
    for (const char* name : {"link", "link/", "link/.", "link//"}) {
      DiskCache linked(scratch / name, kPlenty);
      CHECK_FALSE(linked.load("key"));
      linked.store("new", kSmall);
      CHECK(is_refused(linked));
    }
    CHECK_FALSE(fs::exists(path_of(cache, "new")));
  }
  SECTION("of somebody else") {
    std::string foreign = "/usr";  // belongs to root
    if (geteuid() == 0) {
      REQUIRE(chown(path.c_str(), 65534, 65534) == 0);
      foreign = path;
    }
    DiskCache other(foreign, kPlenty);
    CHECK_FALSE(other.load("key"));
    other.store("new", kSmall);
    CHECK_FALSE(fs::exists(path_of(other, "new")));
    CHECK(is_refused(other));
  }
}

TEST_CASE("files that are no entries of ours are misses") {
  const Quiet quiet;
  const Scratch scratch;
  DiskCache cache(scratch / "cache", kPlenty);
  cache.store("key", kSmall);
  const std::string path = path_of(cache, "key");

  SECTION("a symbolic link to a sound entry") {
    fs::rename(path, scratch / "elsewhere");
    fs::create_symlink(scratch / "elsewhere", path);
    CHECK_FALSE(cache.load("key"));
  }
  SECTION("a named pipe, which would block") {
    fs::remove(path);
    REQUIRE(mkfifo(path.c_str(), 0600) == 0);
    CHECK_FALSE(cache.load("key"));
  }
  SECTION("a folder") {
    fs::remove(path);
    fs::create_directory(path);
    CHECK_FALSE(cache.load("key"));
    cache.store("key", kSmall);  // cannot replace it
    CHECK_FALSE(cache.load("key"));
    CHECK(std::distance(fs::directory_iterator(cache.folder()), {}) == 1);  // and leaves nothing behind
  }
  SECTION("writable by others") {
    REQUIRE(chmod(path.c_str(), 0666) == 0);
    CHECK_FALSE(cache.load("key"));
  }
  SECTION("absurdly large") {
    fs::resize_file(path, uintmax_t{1} << 40);
    CHECK_FALSE(cache.load("key"));
  }
  CHECK(cache.verify().size() == 1);
}

TEST_CASE("the folder follows the environment") {
  CHECK(cache_folder("/own", "/xdg", "/home/me") == "/own");
  CHECK(cache_folder("", "/xdg", "/home/me") == "/xdg/calque");
  CHECK(cache_folder(nullptr, nullptr, "/home/me") == "/home/me/.cache/calque");
  CHECK(cache_folder(nullptr, "", "/home/me") == "/home/me/.cache/calque");
  CHECK(cache_folder(nullptr, "relative", "/home/me") == "/home/me/.cache/calque");
  CHECK(cache_folder(nullptr, nullptr, "relative").empty());
  CHECK(cache_folder(nullptr, nullptr, nullptr).empty());
}

TEST_CASE("without a folder nothing is kept and nothing fails") {
  DiskCache cache("", kPlenty);
  cache.store("key", kSmall);
  CHECK_FALSE(cache.load("key"));
  CHECK(cache.list().empty());
  CHECK(cache.clear().entries == 0);
}

TEST_CASE("a folder that cannot be created is only a warning") {
  const Quiet quiet;
  const Scratch scratch;
  write_all(scratch / "file", "in the way");
  for (const char* name : {"file", "file/cache", "file/a/b"}) {
    DiskCache cache(scratch / name, kPlenty);
    cache.store("key", kSmall);
    CHECK_FALSE(cache.load("key"));
  }
  DiskCache cache("/proc/calque/cache", kPlenty);
  cache.store("key", kSmall);
  CHECK_FALSE(cache.load("key"));
  CHECK(read_all(scratch / "file") == "in the way");
}

TEST_CASE("the oldest entries go when the folder is full") {
  const Scratch scratch;
  DiskCache cache(scratch / "cache", 200'000);
  const Blobs parts = {{"image", std::string(20'000, 'x')}};
  for (int i = 0; i < 40; ++i) {
    cache.store(key_of(i), parts);
    make_old(path_of(cache, key_of(i)), 1'000'000 + i);  // in this order
  }
  cache.store(key_of(40), parts);
  uint64_t total = 0;
  for (const EntryInfo& entry : cache.list()) total += entry.bytes;
  CHECK(total <= 200'000);
  CHECK(total >= 100'000);
  CHECK(cache.load(key_of(40)) == parts);
  CHECK(cache.load(key_of(39)) == parts);
  CHECK_FALSE(cache.load(key_of(0)));

  cache.store("more than all", {{"image", std::string(300'000, 'x')}});
  CHECK_FALSE(cache.load("more than all"));
  CHECK(cache.load(key_of(40)) == parts);  // for which nothing was removed
}

TEST_CASE("a folder of many small entries is cut down, too: who stores something looks at each") {
  const Scratch scratch;
  DiskCache cache(scratch / "cache", kPlenty);
  cache.store("first", kSmall);
  make_old(path_of(cache, "first"));
  for (size_t i = 0; i < DiskCache::kMostEntries; ++i)
    write_all(scratch / fmt::format("cache/{:032x}.calque", i), "x");
  DiskCache other(scratch / "cache", kPlenty);
  other.store("last", kSmall);
  CHECK(other.load("last") == kSmall);
  CHECK_FALSE(other.load("first"));
  CHECK(other.list().size() == DiskCache::kKeptEntries);
  other.store("one more", kSmall);
  CHECK(other.list().size() == DiskCache::kKeptEntries + 1);
}

TEST_CASE("an entry that is used counts as young, and outlives those that are not") {
  const Scratch scratch;
  DiskCache full(scratch / "full", 100'000);
  for (int i = 0; i < 4; ++i) {
    full.store(key_of(i), {{"image", std::string(20'000, 'x')}});
    make_old(path_of(full, key_of(i)), 1'000'000 + i);
  }
  CHECK(full.load(key_of(0)));
  full.store(key_of(4), {{"image", std::string(20'000, 'x')}});  // more than fit
  CHECK(full.load(key_of(0)));
  CHECK_FALSE(full.load(key_of(1)));
  CHECK(full.counts().evicted == 2);

  DiskCache cache(scratch / "cache", kPlenty);
  cache.store("key", kSmall);
  make_old(path_of(cache, "key"));
  REQUIRE(cache.list().at(0).modified == 1'000'000);
  CHECK(cache.load("key"));
  CHECK(cache.list().at(0).modified > 1'000'000'000);
}

TEST_CASE("processes share a folder") {
  const Scratch scratch;
  const std::string path = scratch / "cache";
  constexpr int kKeys = 6, kRounds = 60;
  const auto work = [&] {
    DiskCache cache(path, kPlenty);
    for (int round = 0; round < kRounds; ++round) {
      const int number = (round * 5 + getpid()) % kKeys;
      cache.store(key_of(number), parts_of(number));
      for (int i = 0; i < kKeys; ++i) {
        const std::optional<Blobs> parts = cache.load(key_of(i));
        if (parts && *parts != parts_of(i)) return false;
        if (i == number && !parts) return false;  // whoever replaced it replaced it whole
      }
    }
    return true;
  };
  std::vector<pid_t> children;
  for (int i = 0; i < 4; ++i) children.push_back(start_process(work));
  for (const pid_t child : children) CHECK(ended_well(child));
  DiskCache cache(path, kPlenty);
  CHECK(cache.verify().empty());
  CHECK(cache.list().size() == kKeys);
  CHECK(names_in(path).size() == kKeys);  // no temporary file is left
}

TEST_CASE("a writer killed at any of 50 moments breaks nothing and leaves nothing") {
  const Scratch scratch;
  const std::string path = scratch / "cache";
  DiskCache cache(path, kPlenty);
  cache.store("first", kSmall);
  int killed = 0, left_over = 0;
  for (int round = 0; round < 50; ++round) {
    const pid_t child = start_process([&] {
      DiskCache own(path, kPlenty);
      for (int i = 0;; i = (i + 1) % 6) own.store(key_of(i), parts_of(i));
      return true;
    });
    usleep(static_cast<useconds_t>(2000 + 379 * round));
    REQUIRE(kill(child, SIGKILL) == 0);
    int status = 0;
    REQUIRE(waitpid(child, &status, 0) == child);
    killed += WIFSIGNALED(status);
    left_over += !holds_entries_only(path);
    CHECK(cache.verify().empty());
    for (int i = 0; i < 6; ++i) {
      const std::optional<Blobs> parts = cache.load(key_of(i));
      CHECK((!parts || *parts == parts_of(i)));
    }
  }
  CHECK(killed == 50);
  CHECK(left_over > 0);  // else nobody was killed while writing
  CHECK(cache.load("first") == kSmall);
  DiskCache(path, kPlenty).store("last", kSmall);  // the first store of a process sweeps
  CHECK(holds_entries_only(path));
}

TEST_CASE("the temporary file of a living writer stays") {
  const Scratch scratch;
  const std::string path = scratch / "cache", temporary = path + "/.calque-new-1-2-3";
  DiskCache cache(path, kPlenty);
  cache.store("first", kSmall);
  write_all(temporary, "half an ent");
  const int writer = open(temporary.c_str(), O_RDONLY | O_CLOEXEC);
  REQUIRE(flock(writer, LOCK_EX | LOCK_NB) == 0);
  make_old(temporary);
  DiskCache(path, kPlenty).store("second", kSmall);
  CHECK(fs::exists(temporary));
  close(writer);
  DiskCache(path, kPlenty).store("third", kSmall);
  CHECK_FALSE(fs::exists(temporary));
}

TEST_CASE("clearing removes entries and nothing else") {
  const Scratch scratch;
  const std::string path = scratch / "cache";
  DiskCache cache(path, kPlenty);
  uint64_t bytes = 0;
  for (int i = 0; i < 3; ++i) {
    cache.store(key_of(i), parts_of(i));
    bytes += fs::file_size(path_of(cache, key_of(i)));
  }
  const std::vector<std::string> others = {"0123456789abcdef0123456789abcdef", "notes.txt", "x.calque"};
  for (const std::string& name : others) write_all(path + "/" + name, "somebody's");
  fs::create_directory(path + "/" + entry_file_name("a folder"));
  write_all(path + "/.calque-new-1-2-3", "half an ent");
  const ClearedEntries cleared = cache.clear();
  CHECK(cleared.entries == 3);
  CHECK(cleared.bytes == bytes);
  std::vector<std::string> expected = others;
  expected.push_back(entry_file_name("a folder"));
  std::sort(expected.begin(), expected.end());
  CHECK(names_in(path) == expected);
}
