// Messages to the log sink (standard error): topics that CALQUE_LOG turns on, and warnings that are given once.
#pragma once

#include <fmt/format.h>

#include <string>
#include <string_view>
#include <utility>

#include "compiler/settings.h"

namespace calque {

/// Writes `calque <topic>: <text>` as one line.
void write_log(LogTopic topic, std::string_view text) noexcept;

/// Logs when the topic is on; formats nothing when it is off: `log(LogTopic::cache, "hit {}", name)`.
template <class... Arguments>
void log(LogTopic topic, fmt::format_string<Arguments...> format, Arguments&&... arguments) {
  if (settings().is_logged(topic))
    write_log(topic, fmt::format(format, std::forward<Arguments>(arguments)...));
}

/// Warns with one sentence; only the first call of this process for each `key` does so.
void warn_once(std::string_view key, std::string_view sentence) noexcept;

}  // namespace calque
