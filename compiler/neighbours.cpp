// Which loops grow together, and how far a call can be taken back.
#include "compiler/neighbours.h"

#include <algorithm>
#include <cstdlib>
#include <numeric>
#include <utility>

namespace calque {

namespace {

/// Loops that run so many times more or less often than others may be over the same sequences.
constexpr int64_t kAboutAsOften = 8;

using Step = std::vector<int64_t>;  // of each loop

/// A direction in which calls grow, and how many steps lead to the long one.
struct Direction {
  Step step;
  int64_t steps;
};

void take_back(BoundSizes& sizes, const Direction& direction, int64_t steps) {
  for (size_t i = 0; i < sizes.size(); ++i) sizes[i].second -= steps * direction.step[i];
}

/// Two of the loops which together run about as often as this one, as where one list has the results of both.
std::optional<std::pair<size_t, size_t>> parts_of(const BoundSizes& sizes, std::span<const size_t> loops, size_t loop) {
  for (size_t i = 0; i < loops.size(); ++i)
    for (size_t k = 0; k < i; ++k)
      if (std::abs(sizes[loop].second - sizes[loops[i]].second - sizes[loops[k]].second) <= kAboutAsOften)
        return std::pair(loops[k], loops[i]);
  return std::nullopt;
}

/// Makes it grow where its parts do. False if none of them grows.
bool grow_with(std::pair<size_t, size_t> parts, size_t loop, std::span<Direction> directions) {
  bool grows = false;
  for (Direction& direction : directions) {
    direction.step[loop] += direction.step[parts.first] + direction.step[parts.second];
    grows |= direction.step[loop] != 0;
  }
  return grows;
}

Neighbours neighbours_in(const BoundSizes& here, std::span<const Direction> directions) {
  Neighbours made;
  BoundSizes shortest = here;
  for (const Direction& direction : directions) {
    made.steps.push_back(direction.steps);
    take_back(shortest, direction, direction.steps);
  }
  made.calls.push_back(shortest);
  for (const Direction& direction : directions)
    for (const int64_t steps : {1, 2}) take_back(made.calls.emplace_back(shortest), direction, -steps);
  made.calls.push_back(shortest);
  for (const Direction& direction : directions) take_back(made.calls.back(), direction, -kWitnessSteps);
  return made;
}

}  // namespace

std::optional<Neighbours> neighbours_of(const BoundSizes& sizes, size_t loop_count, int64_t stride, int64_t least_steps) {
  std::vector<size_t> loops(loop_count);  // those that run seldom first
  std::iota(loops.begin(), loops.end(), 0);
  const auto trips_of = [&](size_t loop) { return sizes[loop].second; };
  std::ranges::stable_sort(loops, {}, trips_of);
  std::vector<Direction> directions;
  std::vector<bool> grows(sizes.size(), false);
  int64_t least = kFewTrips;  // a loop that runs more often than another does so in all neighbours
  for (size_t i = 0, end = 0; i < loops.size(); i = end) {
    const int64_t fewest = trips_of(loops[i]);
    const auto parts = parts_of(sizes, std::span(loops).first(i), loops[i]);
    if (parts && grow_with(*parts, loops[i], directions)) {
      end = i + 1;
      continue;
    }
    Direction direction{Step(sizes.size(), 0), (fewest - least) / stride};
    const auto add = [&](size_t size) {
      const bool is_added = !grows[size] && sizes[size].second >= fewest && sizes[size].second - fewest <= kAboutAsOften;
      if (is_added) direction.step[size] = stride;
      return is_added;
    };
    for (end = i; end < loops.size() && add(loops[end]);) ++end;
    const bool is_long = direction.steps >= least_steps;
    const int64_t most = trips_of(loops[end - 1]) - (is_long ? (direction.steps - 2) * stride : 0);
    least = std::max(least, most + 1);
    if (!is_long) continue;
    for (size_t size = loop_count; size < sizes.size(); ++size)
      if (add(size)) grows[size] = true;
    directions.push_back(std::move(direction));
  }
  if (directions.empty()) return std::nullopt;
  return neighbours_in(sizes, directions);
}

}  // namespace calque
