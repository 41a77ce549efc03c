// Writes one line to the user's log sink, or to the standard error output.
#pragma once

#include "calque/log.h"

namespace calque {

/// `calque <topic>: <text>` in one piece. Never throws: out of memory, a line is lost.
void write_line(const LogLine& line) noexcept;

/// A warning: `calque: <sentence>`.
inline void warn(std::string_view sentence) noexcept { write_line({LogLevel::warning, {}, sentence}); }

}  // namespace calque
