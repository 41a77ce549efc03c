// Where a row of numbers repeats itself.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace calque {

inline constexpr size_t kFewestRepetitions = 3;

/// Calls found(begin, end) for each stretch, as long as can be, in which every number is that of a period before or later, and
/// which is at least three periods long; in order. Such a stretch has the same number in three places that are a period apart and
/// begin at a multiple of it: only there it looks closer, so to try all periods of n numbers takes about n log n comparisons.
template <class Found>
void for_each_repetition(std::span<const uint32_t> numbers, size_t period, const Found& found) {
  for (size_t i = 0; i + 2 * period < numbers.size(); i += period) {
    if (numbers[i] != numbers[i + period] || numbers[i] != numbers[i + 2 * period]) continue;
    size_t begin = i, end = i + period;
    while (begin > 0 && numbers[begin - 1] == numbers[begin - 1 + period]) --begin;
    while (end < numbers.size() && numbers[end] == numbers[end - period]) ++end;
    if (end - begin >= kFewestRepetitions * period) found(begin, end);
    while (i + 2 * period <= end) i += period;  // the next one begins behind end - period
  }
}

/// Adds to `all`, in order, the longest stretch of [begin, end) among those of every period up to `most_period`, then the longest
/// ones before and behind it. scan(begin, end, period, found) calls found(stretch) for each of a period; `Stretch` has `first` and
/// end().
template <class Stretch, class Scan>
void find_longest(size_t begin, size_t end, size_t most_period, const Scan& scan, std::vector<Stretch>& all) {
  std::optional<Stretch> best;
  const auto covered = [](const Stretch& stretch) { return stretch.end() - stretch.first; };
  for (size_t period = 1; period <= std::min(most_period, (end - begin) / kFewestRepetitions); ++period) {
    if (best && 2 * covered(*best) >= end - begin) break;  // a longer one could only repeat it
    scan(begin, end, period, [&](const Stretch& stretch) {
      if (!best || covered(stretch) > covered(*best)) best = stretch;
    });
  }
  if (!best) return;
  find_longest(begin, best->first, most_period, scan, all);
  all.push_back(*best);
  find_longest(best->end(), end, most_period, scan, all);
}

}  // namespace calque
