// Draws the progress line.
#include "cli/progress.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>

namespace calque::cli {

namespace {

constexpr double kSmoothing = 0.9;
constexpr auto kTerminalPeriod = std::chrono::milliseconds(100);
constexpr auto kPlainPeriod = std::chrono::seconds(5);

size_t terminal_width() {
  winsize size{};
  return ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

std::string with_seconds(double seconds) {
  const auto whole = static_cast<int64_t>(std::max(0.0, seconds) + 0.5);
  return fmt::format("{}:{:02}", whole / 60, whole % 60);
}

}  // namespace

bool is_terminal() {
  const char* term = std::getenv("TERM");
  return isatty(STDOUT_FILENO) != 0 && term != nullptr && std::string_view(term) != "dumb";
}

std::string bold(std::string_view text) {
  const char* no_color = std::getenv("NO_COLOR");
  if (!is_terminal() || (no_color != nullptr && *no_color != '\0')) return std::string(text);
  return fmt::format("\033[1m{}\033[0m", text);
}

Progress::Progress(std::string label, int64_t steps, int64_t characters_per_step)
    : label_(std::move(label)),
      steps_(steps),
      characters_per_step_(characters_per_step),
      on_terminal_(is_terminal()) {}

void Progress::update(int64_t step, double bits, double seconds) {
  seconds_ = seconds;
  bits_ = step_ == first_step_ ? bits : kSmoothing * bits_ + (1 - kSmoothing) * bits;
  step_ = step;
  const bool is_due =
      on_terminal_ ? Clock::now() - shown_ >= kTerminalPeriod : Clock::now() - shown_ >= kPlainPeriod;
  if (is_due || step == first_step_ + 1) show();
}

void Progress::finish() {
  if (shown_step_ != step_) show();
  if (on_terminal_ && step_ > 0) std::fputc('\n', stdout);
  std::fflush(stdout);
}

void Progress::show() {
  shown_ = Clock::now();
  shown_step_ = step_;
  const std::string text = figures();
  if (!on_terminal_) {
    fmt::print("{}\n", text);
  } else {
    const size_t width = terminal_width() - 1;
    const size_t room = width > text.size() + 3 ? std::min<size_t>(30, width - text.size() - 3) : 0;
    const std::string line = room >= 5 ? text + " " + bar(room) : text.substr(0, width);
    fmt::print("\r{}\033[K", line);
  }
  std::fflush(stdout);
}

std::string Progress::figures() const {
  const double rate = seconds_ > 0 ? static_cast<double>(step_ - first_step_) / seconds_ : 0;
  const double left = rate > 0 ? static_cast<double>(steps_ - step_) / rate : 0;
  return fmt::format("{:<9} {:>{}}/{}  {:.3f} bits/char  {:>6.0f} chars/s  {} left", label_, step_,
                     std::to_string(steps_).size(), steps_, bits_,
                     rate * static_cast<double>(characters_per_step_), with_seconds(left));
}

std::string Progress::bar(size_t width) const {
  const size_t inside = width - 2;
  const size_t full = steps_ > 0 ? inside * static_cast<size_t>(step_) / static_cast<size_t>(steps_) : inside;
  return "[" + std::string(full, '#') + std::string(inside - full, '.') + "]";
}

}  // namespace calque::cli
