// Topics and warnings, on their way to the log sink.
#include "compiler/log.h"

#include <mutex>
#include <set>

#include "runtime/log.h"

namespace calque {

namespace {

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
  write_line({LogLevel::message, kLogTopicNames[static_cast<size_t>(topic)], text});
}

void warn_once(std::string_view key, std::string_view sentence) noexcept {
  try {
    if (is_first(key)) warn(sentence);
  } catch (...) {  // out of memory: a message less
  }
}

}  // namespace calque
