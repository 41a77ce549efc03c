// Ctrl-C and SIGTERM as a wish that a training respects: it ends after the step under way and saves.
#pragma once

#include <csignal>
#include <string>

#include "ir/op/error.h"

namespace calque::cli {

/// While one is alive, the first SIGINT or SIGTERM is only noted; a second one ends the program at once.
class InterruptGuard {
 public:
  InterruptGuard();
  ~InterruptGuard();
  InterruptGuard(const InterruptGuard&) = delete;
  InterruptGuard& operator=(const InterruptGuard&) = delete;

 private:
  struct sigaction before_interrupt_ {}, before_terminate_ {};
};

/// The signal that was noted since the guard was made; 0 when there was none.
int noted_signal();

/// What a sub-command throws when it ends because of noted_signal(): the program exits with 128 + its number.
class Interrupted : public Error {
 public:
  explicit Interrupted(const std::string& sentence) : Error(sentence), signal_(noted_signal()) {}
  int exit_code() const { return 128 + signal_; }

 private:
  int signal_;
};

}  // namespace calque::cli
