// Writes messages, each as one line in one piece.
#include "compiler/log.h"

#include <cstdio>
#include <mutex>
#include <set>

namespace calque {

namespace {

void write_line(const char* topic, std::string_view text) {
  const std::string line = fmt::format("calque{}{}: {}\n", *topic ? " " : "", topic, text);
  std::fwrite(line.data(), 1, line.size(), stderr);
}

/// Whether the key is new to this process.
bool is_first(std::string_view key) {
  static std::mutex mutex;
  static auto* const seen = new std::set<std::string, std::less<>>;  // outlives every static destructor
  const std::lock_guard lock(mutex);
  if (seen->contains(key)) return false;
  seen->emplace(key);
  return true;
}

}  // namespace

void write_log(LogTopic topic, std::string_view text) noexcept {
  try {
    write_line(kLogTopicNames[static_cast<size_t>(topic)], text);
  } catch (...) {  // out of memory: a message less
  }
}

void warn_once(std::string_view key, std::string_view sentence) noexcept {
  try {
    if (is_first(key)) write_line("", sentence);
  } catch (...) {  // out of memory: a message less
  }
}

}  // namespace calque
