// What one observed call of a pure function did, in terms of what its key and registered state hold: where
// each tensor that it used came from, what it returned and assigned. Two calls of one key must have done the
// same.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "calque/pure.h"
#include "compiler/frame.h"
#include "runtime/state.h"

namespace calque {

using VariableRef = Ref<detail::StateVariable>;

/// Where a tensor came from.
struct Source {
  enum class Kind : uint8_t { empty, value, argument, variable, number, draw };
  Kind kind = Kind::empty;
  uint32_t index =
      0;  // of the value from the segment's first, of the argument's tensor, the number, the draw
  VariableRef variable;

  bool operator==(const Source& other) const {
    return kind == other.kind && index == other.index && variable.get() == other.variable.get();
  }
};

/// Two places that held one tensor when the call began: the trace cannot tell which of them was meant.
struct Tie {
  Source chosen, other;
  bool operator==(const Tie&) const = default;
};

/// A registered variable that the call read or assigned to, and what it held when the call began.
struct VariableUse {
  VariableRef variable;
  bool was_empty = false;
  bool changes_unseen = false;     // a writable pointer to its elements is about
  std::optional<SlotRecord> read;  // its tensor, when an op used it
};

struct VariableWrite {
  VariableRef variable;
  Source source;
  bool operator==(const VariableWrite& other) const {
    return variable.get() == other.variable.get() && source == other.source;
  }
};

struct PureTrace {
  TraceId root = 0, end = 0;
  std::vector<Number> numbers;
  std::vector<int64_t> draws;          // counts of random numbers, in order
  std::vector<int64_t> trips;          // through the loops of its way; known only afterwards, like the end
  std::vector<Source> slots;           // of the only segment
  std::vector<Source> results;         // tensors of the result, in order
  std::vector<uint64_t> result_words;  // the rest of it
  std::vector<VariableWrite> writes;
  // What held when the call began, beside the key; another way is no wonder when it differs.
  std::vector<Tie> ties;
  std::vector<VariableUse> variables;
};

/// Reads a call when its body has returned, before Frame::finish(). Throws Refusal. The `end` is known only
/// afterwards, to note_end().
PureTrace read_trace(Frame& frame, const TraceTree& tree, std::span<const Tensor> arguments,
                     std::span<const StateSnapshot> state, const detail::ResultReader& result);

/// Frame::finish() was just called.
void note_end(PureTrace& trace, const Frame& frame, const TraceTree& tree);

/// Why a call cannot be repeated by a plan alone: a phrase with a line.
struct Refusal {
  std::string reason;
};

/// Whether both calls were made in the same modes, and the variables that both used held things of the same kind.
bool same_situation(const PureTrace& a, const PureTrace& b);
/// How the later of two calls in one situation differs from the earlier one; empty when it does not.
std::string difference(const TraceTree& tree, const PureTrace& before, const PureTrace& now);

}  // namespace calque
