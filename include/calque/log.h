// Where Calque's own lines go: what CALQUE_LOG turns on, and warnings.
#pragma once

#include <cstdint>
#include <functional>
#include <string_view>

#pragma GCC visibility push(default)

namespace calque {

enum class LogLevel : uint8_t { message, warning };

/// One line, without a newline. The views are valid during the call of the sink.
struct LogLine {
  LogLevel level;
  std::string_view topic;  // of a message: compile, cache, ... as in CALQUE_LOG; empty for a warning
  std::string_view text;
};

using LogSink = std::function<void(const LogLine&)>;

/// From now on every line goes to `sink` instead of the standard error output; an empty sink puts that back. Lines come
/// from any thread, one at a time; none comes to the old sink after this returns. What the sink throws is dropped, and a
/// line that Calque writes while the same thread is inside the sink goes to the standard error output. A sink must not
/// call set_log_sink.
void set_log_sink(LogSink sink);

}  // namespace calque

#pragma GCC visibility pop
