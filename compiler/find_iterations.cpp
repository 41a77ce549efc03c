// Compares each node with the one a period later, for one period after the other.
#include "compiler/find_iterations.h"

#include <algorithm>
#include <optional>

namespace calque {

namespace {

constexpr size_t kFewestNodes = 1, kMostNodes = 4096;  // of an iteration
constexpr size_t kFewestIterations = 3;

bool same_slot(const SlotRecord& a, const SlotRecord& b) {
  return a.is_alike_but_for_sizes(b) && a.shape == b.shape &&
         std::equal(a.strides.begin(), a.strides.begin() + a.shape.rank(), b.strides.begin());
}

bool same_result(const ResultRecord& a, const ResultRecord& b) {
  return a.dtype == b.dtype && a.requires_grad == b.requires_grad && a.shape == b.shape &&
         std::equal(a.strides.begin(), a.strides.begin() + a.shape.rank(), b.strides.begin());
}

bool same_word(const TraceNode& a, const TraceNode& b, int word) {
  if (a.attributes[word] == b.attributes[word]) return true;
  const AttributeKind kind = kind_of_word(a.op, word);
  return kind == AttributeKind::integer || kind == AttributeKind::integers;
}

/// Whether `b` could be what `a` is, one iteration later.
bool is_repeated(const TraceNode& a, const TraceNode& b) {
  if (a.location != b.location || a.op != b.op || a.grad_enabled != b.grad_enabled || a.inputs.size() != b.inputs.size() ||
      a.attributes.size() != b.attributes.size() ||
      !std::equal(a.results.begin(), a.results.end(), b.results.begin(), b.results.end(), same_result) ||
      !std::equal(a.new_slots.begin(), a.new_slots.end(), b.new_slots.begin(), b.new_slots.end(), same_slot))
    return false;
  for (int word = 0; word < a.attributes.size(); ++word)
    if (!same_word(a, b, word)) return false;
  for (size_t i = 0; i < a.inputs.size(); ++i)
    if (a.inputs[i].is_slot != b.inputs[i].is_slot) return false;
  return true;
}

/// Whether what differs between three iterations differs by the same steps.
bool goes_on(const TraceNode& a, const TraceNode& b, const TraceNode& c) {
  if (c.first_value - b.first_value != b.first_value - a.first_value || c.first_slot - b.first_slot != b.first_slot - a.first_slot)
    return false;
  for (int word = 0; word < a.attributes.size(); ++word)
    if (c.attributes[word] - b.attributes[word] != b.attributes[word] - a.attributes[word]) return false;
  for (size_t i = 0; i < a.inputs.size(); ++i)
    if (c.inputs[i].index - b.inputs[i].index != b.inputs[i].index - a.inputs[i].index) return false;
  return true;
}

class Finder {
 public:
  explicit Finder(std::span<const TraceNode* const> way) : way_(way) {}

  void find(size_t begin, size_t end) {
    std::optional<Iterations> best;
    const auto covered = [](const Iterations& found) { return found.end() - found.first; };
    for (size_t period = kFewestNodes; period <= std::min(kMostNodes, (end - begin) / kFewestIterations); ++period) {
      if (best && 2 * covered(*best) >= end - begin) break;  // a longer one could only repeat it
      scan(begin, end, period, [&](const Iterations& found) {
        if (!best || covered(found) > covered(*best)) best = found;
      });
    }
    if (!best) return;
    find(begin, best->first);
    found_.push_back(*best);
    find(best->end(), end);
  }
  std::vector<Iterations> take() { return std::move(found_); }

 private:
  /// Every stretch [start, stop) of nodes that are repeated one period later, or repeat.
  template <class Found>
  void scan(size_t begin, size_t end, size_t period, const Found& found) const {
    size_t start = begin;
    const auto close = [&](size_t stop) {
      // Iterations end where the stretch does: there the loop of the function ended.
      const size_t count = (stop - start) / period;
      if (count >= kFewestIterations) found({stop - count * period, period, static_cast<int64_t>(count) - 1});
    };
    for (size_t i = begin; i + period < end; ++i) {
      if (!is_repeated(*way_[i], *way_[i + period])) {
        close(i + period);
        start = i + 1;
      } else if (i >= start + period && !goes_on(*way_[i - period], *way_[i], *way_[i + period])) {
        close(i + period);
        start = i - period + 1;
      }
    }
    close(end);
  }

  std::span<const TraceNode* const> way_;
  std::vector<Iterations> found_;
};

}  // namespace

std::vector<Iterations> find_iterations(std::span<const TraceNode* const> way, size_t begin, size_t end) {
  Finder finder(way);
  finder.find(begin, end);
  return finder.take();
}

}  // namespace calque
