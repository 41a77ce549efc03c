// What Calque warns of for a while.
#pragma once

#include <string>
#include <vector>

#include "calque/log.h"

namespace calque::test {

/// Takes the lines that Calque writes, and keeps the warnings among them.
class Warnings {
 public:
  Warnings() {
    set_log_sink([this](const LogLine& line) {
      if (line.level == LogLevel::warning) sentences_.emplace_back(line.text);
    });
  }
  ~Warnings() { set_log_sink({}); }
  Warnings(const Warnings&) = delete;
  Warnings& operator=(const Warnings&) = delete;

  const std::vector<std::string>& sentences() const { return sentences_; }

 private:
  std::vector<std::string> sentences_;
};

}  // namespace calque::test
