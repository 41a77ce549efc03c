// Gives nodes that ask for the same the same number, and finds where these repeat, for one period after the other.
#include "compiler/find_iterations.h"

#include <algorithm>
#include <optional>
#include <unordered_map>
#include <vector>

#include "compiler/key_hash.h"
#include "passes/loops/repetition.h"

namespace calque {

namespace {

template <class Record>
bool same_layout(const Record& a, const Record& b) {
  return a.shape == b.shape && std::equal(a.strides.begin(), a.strides.begin() + a.shape.rank(), b.strides.begin());
}

std::optional<Reason> difference(const SlotRecord& a, const SlotRecord& b) {
  if (!a.is_alike_but_for_sizes(b)) return a.shape.rank() == b.shape.rank() ? Reason::step_slot : Reason::step_shape;
  if (!same_layout(a, b)) return a.shape == b.shape ? Reason::step_slot : Reason::step_shape;
  return std::nullopt;
}

std::optional<Reason> difference(const ResultRecord& a, const ResultRecord& b) {
  if (a.dtype != b.dtype || !same_layout(a, b)) return Reason::step_shape;
  if (a.requires_grad != b.requires_grad) return Reason::step_history;
  return std::nullopt;
}

template <class Record>
std::optional<Reason> first_difference(const std::vector<Record>& a, const std::vector<Record>& b) {
  if (a.size() != b.size()) return Reason::step_operand;
  for (size_t i = 0; i < a.size(); ++i)
    if (const std::optional<Reason> found = difference(a[i], b[i])) return found;
  return std::nullopt;
}

bool same_word(const TraceNode& a, const TraceNode& b, int word) {
  if (a.attributes[word] == b.attributes[word]) return true;
  const AttributeKind kind = kind_of_word(a.op, word);
  return kind == AttributeKind::integer || kind == AttributeKind::integers;
}

/// Equal for nodes between which there is no difference().
uint64_t hash_of(const TraceNode& node) {
  std::vector<uint64_t> words{static_cast<uint64_t>(node.op), reinterpret_cast<uintptr_t>(node.location)};
  for (const TraceOperand& operand : node.inputs) words.push_back(operand.is_slot);
  for (const ResultRecord& result : node.results) words.insert(words.end(), result.shape.begin(), result.shape.end());
  return hash_words(words, 0);
}

/// The same number for nodes that could be one of several iterations.
std::vector<uint32_t> numbers_of(std::span<const TraceNode* const> way) {
  std::unordered_multimap<uint64_t, uint32_t> known;  // the first node of each number, by hash
  std::vector<uint32_t> numbers;
  for (uint32_t i = 0; i < way.size(); ++i) {
    const uint64_t hash = hash_of(*way[i]);
    const auto [begin, end] = known.equal_range(hash);
    const auto alike = std::find_if(begin, end, [&](const auto& entry) { return is_repeated(*way[entry.second], *way[i]); });
    numbers.push_back(alike == end ? i : alike->second);
    if (alike == end) known.emplace(hash, i);
  }
  return numbers;
}

class Finder {
 public:
  Finder(std::span<const TraceNode* const> way, size_t begin, size_t end)
      : way_(way), begin_(begin), numbers_(numbers_of(way.subspan(begin, end - begin))) {}

  void find(size_t begin, size_t end) {
    const auto scan_of = [this](size_t first, size_t last, size_t period, const auto& found) { scan(first, last, period, found); };
    find_longest(begin, end, kMostNodesOfIteration, scan_of, found_);
  }
  /// Finds the loop of which iterations were omitted before the node at `place`, and what is before it. Gives its end.
  size_t find_around(size_t place, size_t begin, size_t end) {
    const auto [period, omitted] = way_[place]->omitted;
    const auto repeats = [&](size_t i) { return numbers_[i - begin_] == numbers_[i - begin_ + period]; };
    const auto goes_on_from = [&](size_t i) { return goes_on(*way_[i], *way_[i + period], *way_[i + 2 * period], 1); };
    size_t start = place - period, stop = place + period;
    while (start > begin && repeats(start - 1) && (start - 1 + 2 * period >= place || goes_on_from(start - 1))) --start;
    while (stop < end && repeats(stop - period) && (stop - period < place + period || goes_on_from(stop - 2 * period))) ++stop;
    const size_t count = (stop - start) / period;
    const Iterations found{stop - count * period, period, static_cast<int64_t>(count) - 1 + omitted, omitted};
    find(begin, found.first);
    found_.push_back(found);
    return found.end();
  }
  std::vector<Iterations> take() { return std::move(found_); }

 private:
  /// Every stretch of nodes that are repeated one period later, or repeat.
  template <class Found>
  void scan(size_t begin, size_t end, size_t period, const Found& found) const {
    for_each_repetition(std::span(numbers_).subspan(begin - begin_, end - begin), period, [&](size_t first, size_t last) {
      size_t start = begin + first;
      const size_t stop = begin + last;
      const auto close = [&](size_t here) {
        // Iterations end where the stretch does: there the loop of the function ended.
        const size_t count = (here - start) / period;
        if (count >= kFewestRepetitions) found({here - count * period, period, static_cast<int64_t>(count) - 1});
      };
      for (size_t i = start + period; i + period < stop; ++i) {
        if (i < start + period || goes_on(*way_[i - period], *way_[i], *way_[i + period], 1)) continue;
        close(i + period);
        start = i - period + 1;
      }
      close(stop);
    });
  }

  std::span<const TraceNode* const> way_;
  size_t begin_;
  std::vector<uint32_t> numbers_;  // of the nodes from `begin_` on
  std::vector<Iterations> found_;
};

/// Wherever the lines are that asked for them.
std::optional<Reason> difference_in_kind(const TraceNode& a, const TraceNode& b) {
  if (a.op != b.op) return Reason::steps_differ;
  if (a.grad_enabled != b.grad_enabled) return Reason::step_history;
  if (a.inputs.size() != b.inputs.size()) return Reason::step_operand_count;
  if (a.attributes.size() != b.attributes.size()) return Reason::step_attribute;
  if (const std::optional<Reason> found = first_difference(a.new_slots, b.new_slots)) return found;
  if (const std::optional<Reason> found = first_difference(a.results, b.results)) return found;
  for (int word = 0; word < a.attributes.size(); ++word)
    if (!same_word(a, b, word)) return Reason::step_attribute;
  for (size_t i = 0; i < a.inputs.size(); ++i)
    if (a.inputs[i].is_slot != b.inputs[i].is_slot) return Reason::step_operand;
  return std::nullopt;
}

/// Whether the first two iterations are there, with those that follow or without.
bool is_well_begun(std::span<const TraceNode* const> way, const Iterations& loop) {
  if (loop.trips + 1 < static_cast<int64_t>(kFewestRepetitions)) return false;
  for (size_t i = loop.first + 1; loop.omitted > 0 && i < loop.first + 2 * loop.period; ++i)
    if (way[i]->omitted.iterations > 0) return false;
  return true;
}

/// The loop as matching can leave it: where other lines behind it begin with what another iteration would ask for, as much of them is
/// taken for a part of its last iteration, and all iterations begin as much later. None if it is still not clear then, or if
/// there are too few.
std::optional<Iterations> left_clearly(std::span<const TraceNode* const> way, Iterations loop, size_t end) {
  for (size_t moved = 1; loop.end() < end && begins_like(way, loop, *way[loop.end()]); ++moved) {
    if (difference_in_kind(*way[loop.first], *way[loop.end()])) return std::nullopt;
    ++loop.first;
    if (moved % loop.period == 0) {  // a whole iteration
      loop.first -= loop.period;
      ++loop.trips;
    }
  }
  return is_well_begun(way, loop) ? std::optional(loop) : std::nullopt;
}

/// Without the iterations that begin before `place`.
Iterations from(Iterations loop, size_t place) {
  for (; loop.first < place; --loop.trips) loop.first += loop.period;
  return loop;
}

}  // namespace

std::optional<Reason> difference(const TraceNode& a, const TraceNode& b) {
  if (a.location != b.location) return Reason::steps_differ;
  return difference_in_kind(a, b);
}

std::optional<Reason> deviation(const TraceNode& a, const TraceNode& b, const TraceNode& c, int64_t iterations) {
  const auto times = static_cast<uint32_t>(iterations);
  const auto grows = [&](uint32_t x, uint32_t y, uint32_t z) { return z - y == times * (y - x); };
  for (int word = 0; word < a.attributes.size(); ++word)
    if (c.attributes[word] - b.attributes[word] != iterations * (b.attributes[word] - a.attributes[word]))
      return Reason::step_attribute;
  for (size_t i = 0; i < a.inputs.size(); ++i)
    if (!grows(a.inputs[i].index, b.inputs[i].index, c.inputs[i].index)) return Reason::step_operand;
  if (!grows(a.first_value, b.first_value, c.first_value) || !grows(a.first_slot, b.first_slot, c.first_slot))
    return Reason::step_operand;
  return std::nullopt;
}

bool begins_like(std::span<const TraceNode* const> way, const Iterations& loop, const TraceNode& next) {
  const TraceNode &head = *way[loop.first], &again = *way[loop.first + loop.period];
  if (head.op != next.op || head.grad_enabled != next.grad_enabled || head.inputs.size() != next.inputs.size() ||
      head.attributes.size() != next.attributes.size())
    return false;
  const int64_t times = loop.trips + 1;
  for (int i = 0; i < head.attributes.size(); ++i)
    if (next.attributes[i] != head.attributes[i] + times * (again.attributes[i] - head.attributes[i])) return false;
  for (size_t i = 0; i < head.inputs.size(); ++i) {
    const TraceOperand &operand = head.inputs[i], &actual = next.inputs[i];
    const auto expected = operand.index + static_cast<uint32_t>(times) * (again.inputs[i].index - operand.index);
    const bool is_new = operand.is_slot && expected >= next.first_slot;  // any tensor of its kind that had no slot before the loop
    if (is_new && actual.index < operand.index) return false;
    if (actual.is_slot != operand.is_slot || (!is_new && actual.index != expected)) return false;
  }
  const auto are_alike = [](const SlotRecord& a, const SlotRecord& b) { return a.is_alike_but_for_sizes(b); };
  return head.new_slots.size() != next.new_slots.size() || std::ranges::equal(head.new_slots, next.new_slots, are_alike);
}

std::vector<Iterations> find_iterations(std::span<const TraceNode* const> way, size_t begin, size_t end) {
  Finder finder(way, begin, end);
  for (size_t place = begin; place < end; ++place) {
    if (way[place]->omitted.iterations == 0) continue;
    begin = finder.find_around(place, begin, end);
  }
  finder.find(begin, end);
  std::vector<Iterations> loops;
  for (const Iterations& found : finder.take()) {
    const Iterations rest = from(found, loops.empty() ? 0 : loops.back().end());
    if (!is_well_begun(way, rest)) continue;
    if (const std::optional<Iterations> loop = left_clearly(way, rest, end)) loops.push_back(*loop);
  }
  return loops;
}

}  // namespace calque
