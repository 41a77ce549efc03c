// `calque cache ...`, as a user types it.
#include "tests/fault/folders.h"

#include <cstdlib>

#include "calque/calque.h"
#include "compiler/codegen_client.h"
#include "compiler/plan_entry.h"
#include "runtime/kernels/isa.h"
#include "tests/support/child.h"

namespace fs = std::filesystem;
using namespace calque;
using namespace calque::test;

namespace {

bool can_run() {
  if (!fs::exists(program_beside("calque")) || kernels::isa_level() == kernels::IsaLevel::baseline) {
    WARN("SKIP: no program calque here, or nothing is compiled on this machine");
    return false;
  }
  return true;
}

Ended cache(const std::string& folder, std::vector<std::string> words) {
  words.insert(words.begin(), {program_beside("calque"), "cache"});
  return run_program(words, {"CALQUE_CACHE_DIR=" + folder});
}

/// Fills the folder by compiling a cell; gives how many entries there are.
size_t warm_up(const std::string& folder) {
  const Ended ended =
      run_program({program_beside("calque"), "dump", "--stage", "lower", "--hidden", "32", "--batch", "2"},
                  {"CALQUE_CACHE_DIR=" + folder});
  REQUIRE(ended.exit_code == 0);
  REQUIRE_FALSE(names_in(folder).empty());
  return names_in(folder).size();
}

bool says(const Ended& ended, const std::string& text) {
  return ended.output.find(text) != std::string::npos;
}

}  // namespace

TEST_CASE("calque cache list names each program, its processor and its build") {
  if (!can_run()) return;
  const Scratch scratch;
  const std::string folder = scratch / "cache";
  const size_t count = warm_up(folder);
  const std::string first = names_in(folder)[0];
  const Ended listed = cache(folder, {"list"});
  CHECK(listed.exit_code == 0);
  for (const std::string& name : names_in(folder)) CHECK(says(listed, name));
  CHECK(says(listed, codegen_isa()));
  CHECK(says(listed, codegen_build_id()));
  CHECK(says(listed, "layernorm_lstm"));
  CHECK(says(listed, std::to_string(fs::file_size(folder + "/" + first))));
  CHECK(says(listed, std::to_string(count) + " entries"));

  const std::string bytes = read_all(folder + "/" + first);
  const DecodedEntry entry = decode_entry(bytes);
  Blobs forged = entry.parts;
  forged[kFunctionPart] = "\x1b[31m";  // would paint a terminal
  write_all(folder + "/" + first, encode_entry(entry.key, forged));
  const std::string repainted = cache(folder, {"list"}).output;
  CHECK(repainted.find('\x1b') == std::string::npos);
  CHECK(repainted.find(" ?\n") != std::string::npos);

  write_all(folder + "/" + first, "CALQUE\r\n");
  CHECK(says(cache(folder, {"list"}), "damaged"));

  CHECK(says(cache(scratch / "none", {"list"}), "0 entries"));
  CHECK(cache("", {"list"}).exit_code == 0);  // memory only
}

TEST_CASE("calque cache verify names what is damaged and says so by its exit code") {
  if (!can_run()) return;
  const Scratch scratch;
  const std::string folder = scratch / "cache";
  warm_up(folder);
  CHECK(cache(folder, {"verify"}).exit_code == 0);
  const std::string name = names_in(folder)[0];
  std::string bytes = read_all(folder + "/" + name);
  SECTION("a changed byte") { bytes[bytes.size() / 2] ^= 1; }
  SECTION("a right checksum over a key that is no program's") {
    bytes = encode_entry("something", {});
    fs::rename(folder + "/" + name, folder + "/" + entry_file_name("something"));
  }
  const std::string damaged = fs::exists(folder + "/" + name) ? name : entry_file_name("something");
  write_all(folder + "/" + damaged, bytes);
  const Ended verified = cache(folder, {"verify"});
  CHECK(verified.exit_code == 1);
  CHECK(says(verified, damaged + ": "));
}

TEST_CASE("calque cache clear removes entries alone and says how many bytes") {
  if (!can_run()) return;
  const Scratch scratch;
  const std::string folder = scratch / "cache";
  const size_t count = warm_up(folder);
  uint64_t bytes = 0;
  for (const std::string& name : names_in(folder)) bytes += fs::file_size(folder + "/" + name);
  write_all(folder + "/notes.txt", "mine");
  const Ended cleared = cache(folder, {"clear"});
  CHECK(cleared.exit_code == 0);
  CHECK(says(cleared, std::to_string(count) + " entries, " + std::to_string(bytes) + " bytes"));
  CHECK(names_in(folder) == std::vector<std::string>{"notes.txt"});
  fs::permissions(folder, fs::perms::all);
  for (const char* verb : {"list", "clear", "verify"}) CHECK(cache(folder, {verb}).exit_code == 1);
}

TEST_CASE("calque cache export and import carry a warm cache to a process that compiles nothing") {
  if (!can_run()) return;
  const Scratch scratch;
  const std::string folder = scratch / "cache", other = scratch / "other", file = scratch / "warm";
  const size_t count = warm_up(folder);
  CHECK(cache(folder, {"export", file}).exit_code == 0);
  const Ended imported = cache(other, {"import", file});
  CHECK(imported.exit_code == 0);
  CHECK(says(imported, std::to_string(count) + " entries"));
  CHECK(names_in(other) == names_in(folder));
  const auto written = fs::last_write_time(other + "/" + names_in(other)[0]);
  warm_up(other);
  CHECK(names_in(other) == names_in(folder));
  CHECK(fs::last_write_time(other + "/" + names_in(other)[0]) == written);  // nothing was compiled

  // Another instruction-set level reads the file, and takes nothing of it.
  const Ended narrow = run_program({program_beside("calque"), "cache", "import", file},
                                   {"CALQUE_CACHE_DIR=" + scratch / "narrow", "CALQUE_ISA=baseline"});
  CHECK(narrow.exit_code == 0);
  CHECK(says(narrow, std::to_string(count) + " left out"));
  CHECK_FALSE(fs::exists(scratch / "narrow"));

  std::string bytes = read_all(file);
  bytes[bytes.size() / 2] ^= 1;
  write_all(file, bytes);
  const Ended refused = cache(scratch / "new", {"import", file});
  CHECK(refused.exit_code == 1);
  CHECK(refused.warnings() == 1);
  CHECK_FALSE(fs::exists(scratch / "new"));
  CHECK(cache(folder, {"import", scratch / "missing"}).exit_code == 1);
  CHECK(cache(folder, {"import"}).exit_code == 2);
  CHECK(cache(folder, {"export", scratch / "no/such/folder"}).exit_code == 1);
}

TEST_CASE("hidden: counts of the cache through the API", "[.]") {
  const auto call = [](const char* name) {
    auto function =
        compile([](const Tensor& x) { return tanh(x) + x; }, {.name = name, .compile_at_once = true});
    const Tensor x = ones({8});
    function(x);
    function(x);
    return function.stats();
  };
  CHECK(call("first").compilations == 1);
  CacheStats stats = cache_stats();
  CHECK(stats.misses == 1);
  CHECK(stats.stored == 1);
  CHECK(stats.memory_programs == 1);
  CHECK(stats.memory_bytes > 100);
  CHECK(call("second").cache_hits == 1);  // another function that does the same, from memory
  CHECK(cache_stats().memory_hits == 1);
  CHECK(cache_stats().disk_hits == 0);

  const std::string file = std::string(std::getenv("CALQUE_CACHE_DIR")) + ".warm";
  CHECK(export_cache(file).entries == 1);
  CHECK(import_cache(file).present == 1);
  stats = cache_stats();
  CHECK(stats.faults == 0);
  CHECK(stats.disk_hits == 1);  // import looked
}

TEST_CASE("the cache is counted, exported and imported through the API") {
  if (!can_run()) return;
  const Scratch scratch;
  const Ended ended = run_program({own_program(), "hidden: counts of the cache through the API"},
                                  {"CALQUE_CACHE_DIR=" + scratch / "cache"});
  INFO(ended.output << ended.errors);
  CHECK(ended.exit_code == 0);
  CHECK(names_in(scratch / "") == std::vector<std::string>{"cache", "cache.warm"});
}
