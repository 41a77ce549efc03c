// Whole processes that compile, in whatever state they find the cache: right answers, no crash, at most one
// warning, nothing left over.
#include "tests/fault/folders.h"

#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <cstdio>
#include <optional>

#include "calque/calque.h"
#include "compiler/cache_folder.h"
#include "runtime/kernels/isa.h"
#include "tests/support/child.h"
#include "tests/support/same_bits.h"
#include "tests/support/sanitized.h"

namespace fs = std::filesystem;
using namespace calque;
using namespace calque::test;

namespace {

constexpr size_t kPrograms = 5;

Tensor numbers(double from) { return sin(arange(96, DType::f32) * 0.37 + from); }

/// Calls the function plainly and compiled, the second time from its plan; counts differing bits.
template <class Function>
void compare(Function function, const char* name, int& wrong, CompileStats& sum) {
  auto compiled = compile(function, {.name = name, .compile_at_once = true});
  for (int call = 0; call < 3; ++call) {
    const Tensor x = reshape(numbers(call), {8, 12}).detach().set_requires_grad(),
                 y = reshape(numbers(9), {8, 12});
    const Tensor z = x.detach().set_requires_grad();
    const Tensor ours = compiled(x, y), expected = function(z, y);
    mean(ours * ours).backward();
    mean(expected * expected).backward();
    wrong += !same_bits(ours, expected) || !same_bits(x.grad(), z.grad());
  }
  sum.compilations += compiled.stats().compilations;
  sum.cache_hits += compiled.stats().cache_hits;
  sum.plan_runs += compiled.stats().plan_runs;
}

bool can_compile() {
  if (kernels::isa_level() != kernels::IsaLevel::baseline) return true;
  WARN("SKIP: nothing is compiled on this machine");
  return false;
}

std::vector<std::string> child_arguments() { return {own_program(), "hidden: a process that compiles"}; }

Ended run_child(const std::vector<std::string>& settings) { return run_program(child_arguments(), settings); }

std::string in_folder(const std::string& folder) { return "CALQUE_CACHE_DIR=" + folder; }

/// How many programs the process compiled and how many it found; -1 when its answers were wrong or it said
/// too much.
struct Outcome {
  int compiled = -1, found = -1, warnings = 0;
};

Outcome outcome_of(const Ended& ended) {
  Outcome outcome;
  INFO(ended.output << ended.errors);
  CHECK(ended.exit_code == 0);
  CHECK(ended.warnings() <= 1);
  const size_t at = ended.output.find("counts ");
  REQUIRE(at != std::string::npos);
  CHECK(std::sscanf(ended.output.c_str() + at, "counts %d %d", &outcome.compiled, &outcome.found) == 2);
  CHECK(outcome.compiled + outcome.found == static_cast<int>(kPrograms));
  outcome.warnings = ended.warnings();
  return outcome;
}

std::vector<std::string> keys_of(const DiskCache& cache) {
  std::vector<std::string> keys;
  for (const EntryInfo& info : cache.list()) keys.push_back(info.key);
  return keys;
}

}  // namespace

TEST_CASE("hidden: a process that compiles", "[.]") {
  int wrong = 0;
  CompileStats sum;
  compare([](const Tensor& x, const Tensor& y) { return tanh(x * y + 1.0) * sigmoid(x); }, "gate", wrong,
          sum);
  compare([](const Tensor& x, const Tensor& y) { return layer_norm(x + y); }, "norm", wrong, sum);
  compare([](const Tensor& x, const Tensor& y) { return softmax(x * 2.0, 1) - y; }, "soft", wrong, sum);
  compare(
      [](const Tensor& x, const Tensor& y) {
        return tanh(matmul(x, transpose(y, 0, 1))) * 0.5 + matmul(y, transpose(x, 0, 1));
      },
      "product", wrong, sum);
  compare([](const Tensor& x, const Tensor& y) { return exp(x) / (1.0 + abs(y)); }, "ratio", wrong, sum);
  std::printf("counts %d %d\n", static_cast<int>(sum.compilations), static_cast<int>(sum.cache_hits));
  CHECK(wrong == 0);
  CHECK(sum.plan_runs >= 2 * kPrograms);
}

TEST_CASE("a cold process fills the cache, a warm one compiles nothing") {
  if (!can_compile()) return;
  const Scratch scratch;
  const Outcome cold = outcome_of(run_child({in_folder(scratch / "cache")}));
  CHECK(cold.compiled == kPrograms);
  CHECK(names_in(scratch / "cache").size() == kPrograms);
  const Outcome warm = outcome_of(run_child({in_folder(scratch / "cache")}));
  CHECK(warm.found == kPrograms);
  CHECK(cold.warnings + warm.warnings == 0);
  CHECK(DiskCache(scratch / "cache", kPlenty).verify().empty());
}

TEST_CASE("five entries of compiled programs with any byte changed, or cut anywhere, are misses") {
  if (!can_compile()) return;
  const Quiet quiet;
  const Scratch scratch;
  outcome_of(run_child({in_folder(scratch / "cache")}));
  DiskCache cache(scratch / "cache", kPlenty);
  const std::vector<std::string> keys = keys_of(cache);
  REQUIRE(keys.size() == kPrograms);
  for (const std::string& key : keys) {
    const std::string path = path_of(cache, key), sound = read_all(path);
    const FileDescriptor file(open(path.c_str(), O_RDWR | O_CLOEXEC));
    size_t hits = 0;
    for (size_t i = 0; i < sound.size(); i += kSanitized ? 7 : 1) {
      const char flipped = static_cast<char>(sound[i] ^ (1 << (i % 8)));
      REQUIRE(pwrite(file.get(), &flipped, 1, static_cast<off_t>(i)) == 1);
      hits += cache.load(key).has_value();
      REQUIRE(pwrite(file.get(), &sound[i], 1, static_cast<off_t>(i)) == 1);
    }
    CHECK(cache.load(key));
    for (size_t size = sound.size(); size-- > 0;) {
      if (kSanitized && size % 7 != 0) continue;
      REQUIRE(ftruncate(file.get(), static_cast<off_t>(size)) == 0);
      hits += cache.load(key).has_value();
    }
    CHECK(hits == 0);
  }
  const Outcome after = outcome_of(run_child({in_folder(scratch / "cache")}));
  CHECK(after.compiled == kPrograms);
  CHECK(after.warnings == 1);  // of five empty entries
}

TEST_CASE("a process that finds its entries damaged replaces them") {
  if (!can_compile()) return;
  const Scratch scratch;
  const std::string folder = scratch / "cache";
  outcome_of(run_child({in_folder(folder)}));
  const std::vector<std::string> names = names_in(folder);
  REQUIRE(names.size() == kPrograms);
  for (int way = 0; way < 5; ++way) {
    for (const std::string& name : names) {
      std::string bytes = read_all(folder + "/" + name);
      const size_t places[] = {0, 20, bytes.size() / 3, bytes.size() - 1};
      if (way == 4)
        bytes.resize(bytes.size() / 2);
      else
        bytes[places[way]] = static_cast<char>(bytes[places[way]] ^ 0x40);
      write_all(folder + "/" + name, bytes);
    }
    const Outcome outcome = outcome_of(run_child({in_folder(folder)}));
    CHECK(outcome.compiled == kPrograms);
    CHECK(outcome.warnings == 1);
    CHECK(names_in(folder) == names);
    CHECK(DiskCache(folder, kPlenty).verify().empty());
  }
  CHECK(outcome_of(run_child({in_folder(folder)})).found == kPrograms);
}

TEST_CASE("processes follow HOME and XDG_CACHE_HOME, and need neither") {
  if (!can_compile()) return;
  const Scratch scratch;
  CHECK(outcome_of(run_child({})).warnings == 0);
  CHECK(outcome_of(run_child({"HOME=", "XDG_CACHE_HOME=relative"})).warnings == 0);
  CHECK(outcome_of(run_child({"CALQUE_CACHE=0", in_folder(scratch / "off")})).warnings == 0);
  CHECK_FALSE(fs::exists("relative"));
  CHECK(names_in(scratch / "").empty());

  outcome_of(run_child({"HOME=" + scratch / "home"}));
  CHECK(names_in(scratch / "home/.cache/calque").size() == kPrograms);
  outcome_of(run_child({"HOME=" + scratch / "home", "XDG_CACHE_HOME=" + scratch / "xdg"}));
  CHECK(names_in(scratch / "xdg/calque").size() == kPrograms);
  CHECK(outcome_of(run_child({"XDG_CACHE_HOME=" + scratch / "xdg"})).found == kPrograms);
}

TEST_CASE("a process whose cache folder may not be trusted warns once and leaves it alone") {
  if (!can_compile()) return;
  const Scratch scratch;
  const std::string folder = scratch / "cache";
  outcome_of(run_child({in_folder(folder)}));
  std::string refused = folder;
  SECTION("writable by the group") { fs::permissions(folder, fs::perms::owner_all | fs::perms::group_all); }
  SECTION("a symbolic link") { fs::create_directory_symlink(folder, refused = scratch / "link"); }
  SECTION("of somebody else") {
    if (geteuid() == 0)
      REQUIRE(chown(folder.c_str(), 65534, 65534) == 0);
    else
      refused = "/usr";  // belongs to root
  }
  SECTION("not a folder") { write_all(refused = scratch / "file", "in the way"); }
  const Outcome outcome = outcome_of(run_child({in_folder(refused)}));
  CHECK(outcome.compiled == kPrograms);
  CHECK(outcome.warnings == 1);
  CHECK(names_in(folder).size() == kPrograms);
}

TEST_CASE("a folder that may only be read serves what it holds") {
  const Scratch scratch;
  const std::string folder = scratch / "cache";
  const Blobs parts = parts_of(1);
  DiskCache(folder, kPlenty).store("key", parts);
  const uid_t user = geteuid() == 0 ? 65534 : geteuid();  // root may write anywhere
  if (geteuid() == 0) {
    REQUIRE(chmod((scratch / "").c_str(), 0755) == 0);
    REQUIRE(chown(folder.c_str(), user, user) == 0);
    REQUIRE(chown((folder + "/" + entry_file_name("key")).c_str(), user, user) == 0);
  }
  REQUIRE(chmod(folder.c_str(), 0500) == 0);
  const pid_t child = start_process([&] {
    if (geteuid() != user && setuid(user) != 0) return false;
    const Quiet quiet;
    DiskCache cache(folder, kPlenty);
    for (int i = 0; i < 3; ++i) cache.store(key_of(i), parts);
    return cache.load("key") == parts && !cache.load(key_of(0)) && cache.counts().faults == 3;
  });
  CHECK(ended_well(child));
  CHECK(names_in(folder).size() == 1);
  REQUIRE(chmod(folder.c_str(), 0700) == 0);
}

TEST_CASE("a full disk costs one warning") {
  if (!can_compile()) return;
  const Scratch scratch;
  const std::string folder = scratch / "cache";
  fs::create_directory(folder);
  fs::permissions(folder, fs::perms::owner_all);

  SECTION("a file system of 16 kB") {
    const pid_t child = start_process([&] {
      if (unshare(CLONE_NEWNS) != 0 || mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
          mount("none", folder.c_str(), "tmpfs", 0, "size=16k,mode=0700") != 0)
        _exit(77);
      const Ended ended = run_child({in_folder(folder)});
      return ended.exit_code == 0 && ended.warnings() == 1 && holds_entries_only(folder) &&
             DiskCache(folder, kPlenty).verify().empty();
    });
    int status = 0;
    REQUIRE(waitpid(child, &status, 0) == child);
    REQUIRE(WIFEXITED(status));
    if (WEXITSTATUS(status) == 77)
      WARN("SKIP: this user may not mount a file system");
    else
      CHECK(WEXITSTATUS(status) == 0);
  }
  SECTION("no file of more than 2 kB") {
    const pid_t child = start_process([&] {
      signal(SIGXFSZ, SIG_IGN);
      const Ended before = run_child({in_folder(scratch / "before")});
      const rlimit limit{2048, 2048};
      if (setrlimit(RLIMIT_FSIZE, &limit) != 0) return false;
      DiskCache cache(folder, kPlenty);
      const Quiet quiet;
      for (int i = 0; i < 4; ++i) cache.store(key_of(i), parts_of(i));
      cache.store("small", {{"image", "few"}});
      return before.exit_code == 0 && cache.counts().faults == 4 && cache.load("small") &&
             !cache.load(key_of(0));
    });
    CHECK(ended_well(child));
    CHECK(names_in(folder).size() == 1);
  }
}

TEST_CASE("processes killed at any of 50 moments of a cold start leave a cache that serves the next") {
  if (!can_compile()) return;
  const Scratch scratch;
  const std::string folder = scratch / "cache";
  const int rounds = static_cast<int>(scaled(50));
  for (int round = 0; round < rounds; ++round) {
    Child child(child_arguments(), {in_folder(folder)});
    usleep(static_cast<useconds_t>(2000 * (round + 1)));
    child.kill();
    child.wait();
    CHECK(DiskCache(folder, kPlenty).verify().empty());
    if (round % 10 == 9) DiskCache(folder, kPlenty).clear();  // the later ones start cold again
  }
  CHECK(outcome_of(run_child({in_folder(folder)})).warnings == 0);
  CHECK(outcome_of(run_child({in_folder(folder)})).found == kPrograms);
  DiskCache(folder, kPlenty).store("one more", parts_of(0));  // the first store of a process sweeps
  CHECK(holds_entries_only(folder));
  CHECK(names_in(folder).size() == kPrograms + 1);
}

TEST_CASE("eight processes at once, started cold twenty times, agree") {
  if (!can_compile()) return;
  const int rounds = static_cast<int>(scaled(20));
  for (int round = 0; round < rounds; ++round) {
    const Scratch scratch;
    std::vector<Child> children;
    for (int i = 0; i < 8; ++i)
      children.emplace_back(child_arguments(), std::vector{in_folder(scratch / "cache")});
    for (Child& child : children) CHECK(outcome_of(child.wait()).warnings == 0);
    CHECK(names_in(scratch / "cache").size() == kPrograms);
    CHECK(holds_entries_only(scratch / "cache"));
    CHECK(DiskCache(scratch / "cache", kPlenty).verify().empty());
  }
}
