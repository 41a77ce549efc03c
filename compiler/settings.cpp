// Reads the settings, and points out what in the environment means nothing.
#include "compiler/settings.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <string_view>
#include <utility>

#include "passes/pipeline.h"
#include "runtime/log.h"

namespace calque {

namespace {

constexpr EnvironmentVariable kVariables[] = {
    {"CALQUE_LOG", "compile, cache, recompile, summary, all; several with commas",
     "Topics to write to the standard error output as they happen."},
    {"CALQUE_DUMP", "a folder",
     "Writes what was compiled (IR after each stage, LLVM IR, assembly) to files there."},
    {"CALQUE_CACHE", "0 or 1 (default 1)", "With 0 nothing is read from or written to the disk cache."},
    {"CALQUE_CACHE_DIR", "a folder",
     "Where compiled code is kept; default $XDG_CACHE_HOME/calque, else ~/.cache/calque, else memory only."},
    {"CALQUE_CACHE_MAX_BYTES", "a number (default 536870912)",
     "Past this size the entries of the disk cache that were not used for longest are removed."},
    {"CALQUE_DISABLE_COMPILE", "0 or 1 (default 0)", "With 1 compiled functions run eagerly."},
    {"CALQUE_DISABLE_PASSES", "names with commas", "Passes to leave out; `calque opt --list` names them."},
    {"CALQUE_VERIFY", "0 or 1 (default 0)",
     "With 1 every call also runs eagerly, and the first difference is reported with its op and line."},
    {"CALQUE_VERIFY_IR", "0 or 1 (default: 1 in builds with assertions)",
     "With 1 the verifier runs after each pass."},
    {"CALQUE_ISA", "baseline, avx2, avx512 (default: the best there is)", "Instruction-set level to use."},
    {"CALQUE_NUM_THREADS", "a number (default: one per core)", "Threads to compute with."},
    {"CALQUE_JOBS", "a number (default: one per processor)", "Compilers that ./dev runs at once."},
    {"CALQUE_WERROR", "ON or OFF (default ON)", "CMake option of the build: warnings are errors."},
    {"CALQUE_SANITIZE", "address,undefined or thread",
     "CMake option of the build: sanitizers for every target."},
    {"CALQUE_TEST_KIND", "a kind of tests", "Set by CTest for the test programs."},
};

/// Levenshtein distance: how many letters to insert, remove or change.
size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = std::exchange(row[0], i);
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t changed = diagonal + (a[i - 1] != b[j - 1]);
      diagonal = row[j];
      row[j] = std::min({changed, row[j] + 1, row[j - 1] + 1});
    }
  }
  return row[b.size()];
}

template <class Names, class NameOf>
std::string nearest(std::string_view word, const Names& names, NameOf name_of) {
  const auto distance = [&](const auto& entry) { return edit_distance(word, name_of(entry)); };
  return name_of(*std::ranges::min_element(names, {}, distance));
}

std::vector<std::string> split_commas(std::string_view text) {
  std::vector<std::string> words;
  while (!text.empty()) {
    const size_t comma = std::min(text.find(','), text.size());
    std::string_view word = text.substr(0, comma);
    while (!word.empty() && word.front() == ' ') word.remove_prefix(1);
    while (!word.empty() && word.back() == ' ') word.remove_suffix(1);
    if (!word.empty()) words.emplace_back(word);
    text.remove_prefix(std::min(comma + 1, text.size()));
  }
  return words;
}

class SettingsReader {
 public:
  explicit SettingsReader(std::vector<std::string>& warnings) : warnings_(warnings) {}

  Settings settings;

  void read(std::string_view name, std::string_view value) {
    if (name == "CALQUE_LOG")
      read_topics(value);
    else if (name == "CALQUE_DUMP")
      settings.dump_dir = value;
    else if (name == "CALQUE_CACHE")
      settings.cache_enabled = flag(name, value, settings.cache_enabled);
    else if (name == "CALQUE_CACHE_DIR")
      settings.cache_dir = value;
    else if (name == "CALQUE_CACHE_MAX_BYTES")
      read_bytes(name, value);
    else if (name == "CALQUE_DISABLE_COMPILE")
      settings.disable_compile = flag(name, value, false);
    else if (name == "CALQUE_DISABLE_PASSES")
      read_passes(value);
    else if (name == "CALQUE_VERIFY")
      settings.verify = flag(name, value, false);
    else if (name == "CALQUE_VERIFY_IR")
      settings.verify_ir = flag(name, value, settings.verify_ir);
    else
      check_known(name);
  }

 private:
  bool flag(std::string_view name, std::string_view value, bool otherwise) {
    for (const char* yes : {"1", "true", "on", "yes"})
      if (value == yes) return true;
    for (const char* no : {"0", "false", "off", "no"})
      if (value == no) return false;
    if (!value.empty())
      warnings_.push_back(fmt::format("{}={} is neither 0 nor 1; it is ignored", name, value));
    return otherwise;
  }

  void read_topics(std::string_view value) {
    for (const std::string& word : split_commas(value)) {
      bool is_known = false;
      for (size_t topic = 0; topic < std::size(kLogTopicNames); ++topic) {
        if (word != "all" && word != kLogTopicNames[topic]) continue;
        settings.log.insert(static_cast<LogTopic>(topic));
        is_known = true;
      }
      if (!is_known)
        warnings_.push_back(
            fmt::format("CALQUE_LOG has no topic {}; did you mean {}?", word,
                        nearest(word, kLogTopicNames, [](const char* name) { return name; })));
    }
  }

  void read_passes(std::string_view value) {
    const std::vector<std::string> names = pass_names();
    for (std::string& word : split_commas(value)) {
      if (std::ranges::find(names, word) == names.end())
        warnings_.push_back(fmt::format("CALQUE_DISABLE_PASSES: there is no pass {}; did you mean {}?", word,
                                        nearest(word, names, [](const std::string& name) { return name; })));
      else
        settings.disabled_passes.insert(std::move(word));
    }
  }

  void read_bytes(std::string_view name, std::string_view value) {
    if (value.empty()) return;
    uint64_t bytes = 0;
    const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), bytes);
    if (error == std::errc() && end == value.data() + value.size())
      settings.cache_max_bytes = bytes;
    else
      warnings_.push_back(fmt::format("{}={} is not a number of bytes; it is ignored", name, value));
  }

  void check_known(std::string_view name) {
    const auto name_of = [](const EnvironmentVariable& variable) { return variable.name; };
    for (const EnvironmentVariable& variable : kVariables)
      if (name == variable.name) return;
    warnings_.push_back(fmt::format("the environment variable {} is unknown; did you mean {}?", name,
                                    nearest(name, kVariables, name_of)));
  }

  std::vector<std::string>& warnings_;
};

Settings read_and_warn() {
  std::vector<std::string> environment, warnings;
  for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry)
    environment.emplace_back(*entry);
  Settings result = read_settings(environment, warnings);
  for (const std::string& sentence : warnings) warn(sentence);
  return result;
}

}  // namespace

std::span<const EnvironmentVariable> environment_variables() { return kVariables; }

Settings read_settings(std::span<const std::string> environment, std::vector<std::string>& warnings) {
  SettingsReader reader(warnings);
  for (const std::string_view entry : environment) {
    const size_t equals = entry.find('=');
    if (!entry.starts_with("CALQUE_") || equals == std::string_view::npos) continue;
    reader.read(entry.substr(0, equals), entry.substr(equals + 1));
  }
  return reader.settings;
}

const Settings& settings() {
  static const Settings* const instance = new Settings(read_and_warn());  // outlives every static destructor
  return *instance;
}

}  // namespace calque
