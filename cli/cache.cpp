// `calque cache`: what the disk cache holds, whether it is sound, emptying it.
#include "compiler/cache.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <ctime>
#include <string>
#include <vector>

#include "cli/command.h"

namespace calque::cli {

namespace {

bool has_folder() {
  if (!disk_cache().folder().empty()) return true;
  fmt::print("there is no cache folder: compiled code is kept in memory only\n");
  return false;
}

/// What an entry holds, in one word: the name of the first graph of its key.
std::string subject(const std::string& key) {
  const size_t begin = key.find("graph @");
  if (begin == std::string::npos) return "";
  return key.substr(begin + 7, key.find_first_of("( \n", begin + 7) - begin - 7);
}

std::string local_time(int64_t seconds) {
  const std::time_t time = seconds;
  std::tm parts{};
  localtime_r(&time, &parts);
  return fmt::format("{:%Y-%m-%d %H:%M:%S}", parts);
}

int list_entries() {
  if (!has_folder()) return 0;
  uint64_t total = 0;
  const std::vector<EntryInfo> entries = disk_cache().list();
  for (const EntryInfo& entry : entries) {
    total += entry.bytes;
    fmt::print("{}  {}  {:>9}  {}\n", entry.file, local_time(entry.modified), entry.bytes,
               entry.fault.empty() ? subject(entry.key) : "broken: " + entry.fault);
  }
  fmt::print("{} entries, {} bytes in {}\n", entries.size(), total, disk_cache().folder());
  return 0;
}

int clear_entries() {
  if (!has_folder()) return 0;
  fmt::print("{} entries removed from {}\n", disk_cache().clear(), disk_cache().folder());
  return 0;
}

int verify_entries() {
  if (!has_folder()) return 0;
  const std::vector<EntryInfo> broken = disk_cache().verify();
  for (const EntryInfo& entry : broken) fmt::print("{}: {}\n", entry.file, entry.fault);
  if (broken.empty())
    fmt::print("all entries in {} are sound\n", disk_cache().folder());
  else
    fmt::print("{} entries are broken; they are never used, and replaced when they are needed\n",
               broken.size());
  return broken.empty() ? 0 : 1;
}

void add_verb(CLI::App& command, Action& action, const char* name, const char* purpose, int (*verb)()) {
  command.add_subcommand(name, purpose)->callback([&action, verb] { action = verb; });
}

}  // namespace

void add_cache(CLI::App& program, Action& action) {
  CLI::App* command = program.add_subcommand("cache", "The disk cache: list, clear or verify");
  command->require_subcommand(1);
  add_verb(*command, action, "list", "All entries, newest first: file, time, bytes, graph", list_entries);
  add_verb(*command, action, "clear", "Remove all entries", clear_entries);
  add_verb(*command, action, "verify", "Check every byte of every entry; exit code 1 if one is broken",
           verify_entries);
}

}  // namespace calque::cli
