// Progress of a training run: one line that updates itself on a terminal, a plain line every few seconds
// elsewhere.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

namespace calque::cli {

/// Whether standard output is a terminal that understands cursor movement.
bool is_terminal();

/// The text in bold, where standard output is a terminal and NO_COLOR is not set.
std::string bold(std::string_view text);

class Progress {
 public:
  Progress(std::string label, int64_t steps, int64_t characters_per_step);
  /// So many of the steps were done before, in another run.
  void start_at(int64_t step) { first_step_ = step_ = step; }
  /// `step` of the steps are done, in `seconds` of work so far; the last one had this loss in bits per character.
  void update(int64_t step, double bits, double seconds);
  /// Ends the line that updates itself.
  void finish();

 private:
  using Clock = std::chrono::steady_clock;
  void show();
  std::string figures() const;
  std::string bar(size_t width) const;

  std::string label_;
  int64_t steps_, characters_per_step_, step_ = 0, first_step_ = 0, shown_step_ = -1;
  double bits_ = 0;     // smoothed over the last steps
  double seconds_ = 0;
  bool on_terminal_;
  Clock::time_point shown_ = Clock::now();
};

}  // namespace calque::cli
