// The numbers of all values and slots of a segment, and what is the same one where loops run less often.
#pragma once

#include <vector>

#include "compiler/step_sequences.h"
#include "compiler/trace.h"

namespace calque {

struct WayPosition;

class WayNumbers {
 public:
  /// Loops run as often as the tree says. Throws Uneven where reads cannot be followed.
  WayNumbers(const TraceTree& tree, TraceId begin, TraceId end);

  /// Whether every op, in the first and the last iteration of its loop, reads what it reads in the longer call. Where a value of
  /// the twentieth iteration is read behind a loop, say, it does not if the loop runs ten times.
  bool reads_like(const WayNumbers& longer) const;

  /// The slots that loops bind, of all iterations.
  const std::vector<Steps>& slot_steps() const { return slot_steps_; }

  /// What is held: values by themselves, and of some ops' results those of all iterations but a few at the ends.
  struct Held {
    std::vector<uint32_t> single;
    std::vector<Steps> steps;
    bool operator==(const Held&) const = default;
    /// Ascending.
    std::vector<uint32_t> all() const;
  };
  Held held(std::span<const uint32_t> numbers) const;
  /// The same where the loops run less often.
  Held held_like(const WayNumbers& longer, const Held& there) const;

 private:
  enum Kind : uint8_t { kValues, kSlots };
  /// What a node makes or binds in all iterations.
  struct Made {
    int64_t first, count;
    int64_t per_iteration, trips;  // of a node of a loop
  };
  struct MadeBy {
    size_t node;
    int64_t iteration, result;
  };
  struct Read {
    int64_t number;
    Kind kind;
    MadeBy by;
  };

  void note_reads(const TraceNode& node, const WayPosition& position, int64_t trips);
  bool are_all_but_few(const Made& made, const Steps& numbers) const;
  MadeBy made_by(int64_t number, Kind kind) const;
  int64_t number_of(const WayNumbers& longer, const MadeBy& by, Kind kind) const;
  uint32_t value_like(const WayNumbers& longer, uint32_t number) const;

  std::vector<Made> made_[2];  // in the order of the way
  std::vector<Read> reads_;    // of every op, in the first and the last iteration
  std::vector<Steps> slot_steps_;
};

}  // namespace calque
