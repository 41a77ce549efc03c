// `calque cache`: what the disk cache holds, whether it is sound, emptying it, taking it along.
#include "calque/cache.h"

#include <fmt/format.h>

#include <algorithm>
#include <ctime>
#include <memory>
#include <string>

#include "cli/command.h"
#include "compiler/cache.h"
#include "compiler/plan_entry.h"

namespace calque::cli {

namespace {

bool has_folder() {
  if (!disk_cache().folder().empty()) return true;
  fmt::print("there is no cache folder: compiled code is kept in memory only\n");
  return false;
}

/// "3 minutes", "2 days": how long ago that was.
std::string age_of(int64_t seconds) {
  const int64_t age = std::max<int64_t>(0, std::time(nullptr) - seconds);
  const auto count = [](int64_t number, const char* unit) {
    return fmt::format("{} {}{}", number, unit, number == 1 ? "" : "s");
  };
  if (age < 60) return count(age, "second");
  if (age < 60 * 60) return count(age / 60, "minute");
  if (age < 24 * 60 * 60) return count(age / 60 / 60, "hour");
  return count(age / 24 / 60 / 60, "day");
}

/// One line of `cache list`.
std::string line_of(const EntryInfo& entry, const Blobs& parts) {
  const std::optional<PlanKey> key = parse_plan_key(entry.key);
  const std::string what = !entry.fault.empty() ? "damaged: " + entry.fault
                           : !key               ? "no compiled program"
                                  : function_of(parts) + (key->is_backward ? " (backward pass)" : "");
  const PlanHeader header = key ? key->header : PlanHeader{"?", "?", "?", ""};
  return fmt::format("{:<40} {:>11} {:>10}  {:<7} {:<16}{} {}\n", entry.file, age_of(entry.modified),
                     entry.bytes, header.isa, header.build, key && is_of_this_build(*key) ? "*" : " ", what);
}

int list_entries() {
  if (!has_folder()) return 0;
  uint64_t count = 0, total = 0;
  disk_cache().visit([&](const EntryInfo& entry, const Blobs& parts, std::string_view) {
    if (count++ == 0)
      fmt::print("{:<40} {:>11} {:>10}  {:<7} {:<16}  {}\n", "file", "age", "bytes", "isa", "build", "function");
    total += entry.bytes;
    fmt::print("{}", line_of(entry, parts));
  });
  fmt::print("{} entries, {} bytes in {}\n", count, total, disk_cache().folder());
  if (count > 0)
    fmt::print("age: since it was last used, to the hour; *: made by this build; function: for which it was compiled first\n");
  return 0;
}

int clear_entries() {
  if (!has_folder()) return 0;
  const ClearedEntries cleared = disk_cache().clear();
  fmt::print("{} entries, {} bytes removed from {}\n", cleared.entries, cleared.bytes, disk_cache().folder());
  return 0;
}

/// What is wrong with an entry, or an empty text. Only this build knows what its own programs should be.
std::string fault_of(const EntryInfo& entry, const Blobs& parts) {
  if (!entry.fault.empty()) return entry.fault;
  const std::optional<PlanKey> key = parse_plan_key(entry.key);
  if (!key) return "it is no compiled program";
  return is_of_this_build(*key) ? fault_of_plan(parts) : "";
}

int verify_entries() {
  if (!has_folder()) return 0;
  size_t count = 0, damaged = 0;
  disk_cache().visit([&](const EntryInfo& entry, const Blobs& parts, std::string_view) {
    ++count;
    const std::string fault = fault_of(entry, parts);
    if (fault.empty()) return;
    ++damaged;
    fmt::print("{}: {}\n", entry.file, fault);
  });
  if (damaged == 0)
    fmt::print("all {} entries in {} are sound\n", count, disk_cache().folder());
  else
    fmt::print("{} of {} entries in {} are damaged; they are never used, and replaced when they are needed\n",
               damaged, count, disk_cache().folder());
  return damaged == 0 ? 0 : 1;
}

/// ", 3 left out (of another build)", or nothing.
std::string left_out(uint64_t count, const char* why) {
  return count == 0 ? "" : fmt::format(", {} left out ({})", count, why);
}

int export_entries(const std::string& path) {
  const CacheTransfer transfer = export_cache(path);
  fmt::print("{} entries, {} bytes written to {}{}{}\n", transfer.entries, transfer.bytes, path,
             left_out(transfer.other_build, "of another build"), left_out(transfer.damaged, "damaged"));
  return 0;
}

int import_entries(const std::string& path) {
  const CacheTransfer transfer = import_cache(path);
  fmt::print("{} entries, {} bytes stored in {}{}{}{}\n", transfer.entries, transfer.bytes,
             disk_cache().folder(), left_out(transfer.present, "there already"),
             left_out(transfer.other_build, "of another build"),
             left_out(transfer.other_processor, "for another instruction set"));
  return 0;
}

void add_verb(CLI::App& command, Action& action, const char* name, const char* purpose, int (*verb)()) {
  command.add_subcommand(name, purpose)->callback([&action, verb] { action = verb; });
}

void add_file_verb(CLI::App& command, Action& action, const char* name, const char* purpose,
                   int (*verb)(const std::string&)) {
  CLI::App* added = command.add_subcommand(name, purpose);
  const auto path = std::make_shared<std::string>();
  added->add_option("file", *path, "The file")->required()->type_name("FILE");
  added->callback([&action, verb, path] { action = [verb, path] { return verb(*path); }; });
}

}  // namespace

void add_cache(CLI::App& program, Action& action) {
  CLI::App* command = program.add_subcommand("cache", "The disk cache: list, clear, verify, export, import");
  command->require_subcommand(1);
  add_verb(*command, action, "list",
           "All entries, newest first: file, age, bytes, instruction set, build, function", list_entries);
  add_verb(*command, action, "clear", "Remove all entries, and nothing else", clear_entries);
  add_verb(*command, action, "verify", "Check every byte of every entry; exit code 1 if one is damaged",
           verify_entries);
  add_file_verb(*command, action, "export", "Write all sound entries of this build into one file",
                export_entries);
  add_file_verb(*command, action, "import", "Check such a file, and store its entries that fit this machine",
                import_entries);
}

}  // namespace calque::cli
