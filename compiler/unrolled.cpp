// Looks for lines that repeat, and compares the last steps as those who look for loops do.
#include "compiler/unrolled.h"

#include <algorithm>
#include <optional>

#include "compiler/find_iterations.h"
#include "passes/loops/repetition.h"

namespace calque {

namespace {

constexpr size_t kFewestSteps = kFewestRepetitions;

/// Says why a stretch is no loop, from its last three steps: first ones may differ.
class Judge {
 public:
  Judge(std::span<const TraceNode* const> way, const Stretch& stretch, size_t loops)
      : way_(way), stretch_(stretch), loops_(loops) {}

  struct Verdict {
    Reason reason;
    std::optional<size_t> offset;  // of the op in a step
  };
  Verdict run() const {
    for (size_t i = 0; i < kFewestSteps * stretch_.period; ++i)
      if (const size_t offset = i % stretch_.period; at(i / stretch_.period, offset).kind == TraceNode::Kind::number)
        return {Reason::number, offset};
    for (size_t offset = 0; offset < stretch_.period; ++offset)
      if (const std::optional<Reason> found = difference(at(1, offset), at(0, offset))) return {*found, offset};
    for (size_t offset = 0; offset < stretch_.period; ++offset) {
      std::optional<Reason> found = deviation(at(2, offset), at(1, offset), at(0, offset), 1);
      if (!found) found = difference(at(2, offset), at(1, offset));
      if (!found) continue;
      if (is_first_step(2) && *found != Reason::step_attribute) return {Reason::few_steps, std::nullopt};
      return {*found, offset};
    }
    if (loops_ >= static_cast<size_t>(kMostLoops)) return {Reason::most_loops, std::nullopt};
    return {leads_on() ? Reason::loop_tail : Reason::recorded_in_parts, std::nullopt};
  }

 private:
  bool leads_on() const {
    const size_t end = stretch_.end(), first = end - kFewestSteps * stretch_.period;
    return end < way_.size() && way_[end]->kind == TraceNode::Kind::op &&
           begins_like(way_, {first, stretch_.period, static_cast<int64_t>(kFewestSteps) - 1}, *way_[end]);
  }
  const TraceNode& at(size_t steps_back, size_t offset) const {
    return *way_[stretch_.end() - (steps_back + 1) * stretch_.period + offset];
  }
  bool is_first_step(size_t steps_back) const { return stretch_.count == steps_back + 1; }

  std::span<const TraceNode* const> way_;
  const Stretch& stretch_;
  const size_t loops_;
};

}  // namespace

std::vector<Stretch> find_stretches(std::span<const uint32_t> keys) {
  const auto scan = [&](size_t begin, size_t end, size_t period, const auto& found) {
    for_each_repetition(keys.subspan(begin, end - begin), period, [&](size_t first, size_t last) {
      const size_t count = (last - first) / period;
      found(Stretch{begin + last - count * period, period, count});
    });
  };
  std::vector<Stretch> all;
  for (size_t begin = 0, i = 0; i <= keys.size(); ++i) {
    if (i < keys.size() && keys[i] != 0) continue;
    find_longest(begin, i, kMostNodesOfIteration, scan, all);
    begin = i + 1;
  }
  return all;
}

std::vector<UnrolledStretch> unrolled_stretches(const TraceTree& tree, std::span<const TraceId> path,
                                                const std::vector<bool>& is_rolled, size_t loops) {
  std::vector<const TraceNode*> way;
  std::vector<uint32_t> keys;
  LineKeys lines;
  for (size_t i = 0; i < path.size(); ++i) {
    const TraceNode& node = *way.emplace_back(&tree[path[i]]);
    const bool may_repeat = !is_rolled[i] && (node.kind == TraceNode::Kind::op || node.kind == TraceNode::Kind::number);
    keys.push_back(may_repeat ? lines.of(node.op, node.location) : 0);
  }
  std::vector<UnrolledStretch> all;
  for (const Stretch& stretch : find_stretches(keys)) {
    const auto step = std::span(way).subspan(stretch.end() - stretch.period, stretch.period);
    // The parts of a split, say: several views of one line.
    if (std::ranges::all_of(step, [](const TraceNode* node) { return row(node->op).kind == OpKind::view; })) continue;
    const Judge::Verdict verdict = Judge(way, stretch, loops).run();
    const TraceId differing = verdict.offset ? path[stretch.end() - stretch.period + *verdict.offset] : kNoTrace;
    all.push_back({stretch.period, stretch.count, path[stretch.first], verdict.reason, differing});
  }
  return all;
}

}  // namespace calque
