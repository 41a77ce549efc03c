// The log sink of the process.
#include "runtime/log.h"

#include <cstdio>
#include <mutex>
#include <string>
#include <utility>

namespace calque {

namespace {

struct Sink {
  std::mutex mutex;
  LogSink function;
};

Sink& process_sink() {
  static Sink* const sink = new Sink;  // outlives every static destructor
  return *sink;
}

thread_local bool inside_sink = false;

void write_to_stderr(const LogLine& line) {
  std::string text = "calque";
  if (!line.topic.empty()) (text += ' ') += line.topic;
  ((text += ": ") += line.text) += '\n';
  std::fwrite(text.data(), 1, text.size(), stderr);
}

}  // namespace

void set_log_sink(LogSink sink) {
  Sink& process = process_sink();
  const std::lock_guard lock(process.mutex);
  process.function = std::move(sink);
}

void write_line(const LogLine& line) noexcept {
  try {
    if (inside_sink) return write_to_stderr(line);
    Sink& process = process_sink();
    const std::lock_guard lock(process.mutex);
    if (!process.function) return write_to_stderr(line);
    inside_sink = true;
    try {
      process.function(line);
    } catch (...) {
      // The sink is the user's, and so is its failure: what Calque was doing goes on.
    }
    inside_sink = false;
  } catch (...) {  // out of memory: a line less
  }
}

}  // namespace calque
