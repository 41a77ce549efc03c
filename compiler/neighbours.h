// Calls that nobody made: like one with long loops, but whose loops run a few times only.
#pragma once

#include <optional>
#include <span>
#include <vector>

#include "compiler/sizes.h"

namespace calque {

/// How often loops run at least in the shortest call: what a first or last iteration has of its own shows in each of them.
inline constexpr int64_t kFewTrips = 8;

/// What grows by one every few steps (a chain that leaps over steps, say) may look even in three calls in a row. One more call, so
/// many steps away, shows that it is not, where "few" is at most eight.
inline constexpr int64_t kWitnessSteps = 9;
/// All calls are shorter than a loop that is so many steps longer than in the shortest.
inline constexpr int64_t kStepsBeyondWitness = kWitnessSteps + 3;

/// From the shortest of the calls, `steps[d]` steps in each direction d lead to the long one.
struct Neighbours {
  std::vector<int64_t> steps;
  /// The sizes of the shortest; for each direction, those one and two steps from there; those kWitnessSteps away in all of them.
  std::vector<BoundSizes> calls;
};

/// `sizes`: those of the long call, first how often each of its `loops` runs. Loops that run about as often may well be over the same
/// sequence, and grow together, by `stride` trips a step; others are a direction of their own, or grow with two that together run
/// about as often. So do other sizes that are as large as a loop is long; what is none of these stays as it is, nor does a
/// loop grow by less than `least_steps`. Empty where none grows.
std::optional<Neighbours> neighbours_of(const BoundSizes& sizes, size_t loops, int64_t stride, int64_t least_steps);

}  // namespace calque
