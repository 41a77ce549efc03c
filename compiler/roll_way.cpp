// Writes a recorded way anew with its loops, and counts its values and slots as WayPosition says.
#include "compiler/roll_way.h"

#include "compiler/find_iterations.h"
#include "compiler/long_loop.h"
#include "compiler/segment.h"
#include "compiler/way_position.h"

namespace calque {

namespace {

using Kind = TraceNode::Kind;

/// Numbers that the recorded call gave to what a loop made or bound.
struct Numbers {
  uint32_t begin, end, stride;
  bool contains(uint32_t number) const { return number >= begin && number < end; }
  int64_t iteration(uint32_t number) const { return stride == 0 ? 0 : (number - begin) / stride; }
};

/// A loop that the recorded call went through in the segment that is being written.
struct PassedLoop {
  int64_t trips;
  Numbers values, slots;
  const Numbers& of(bool is_slot) const { return is_slot ? slots : values; }
};

class Roller {
 public:
  Roller(TraceTree& tree, TraceId fork) : tree_(tree), fork_(fork) {
    note_known_loops(tree.path(tree.segment_before(fork), tree[fork].parent));
  }

  TraceId run() {
    const std::vector<Iterations> found = find_loops();
    if (found.empty() && passed_.empty()) return static_cast<TraceId>(tree_.size() - 1);
    last_ = tree_[fork_].parent;
    std::vector<TraceNode> recorded = tree_.drop_way(fork_);
    auto next = found.begin();
    for (size_t i = 0; i < recorded.size(); ++i) {
      if (next != found.end() && new_ + i == next->first) {
        add_loop(recorded, i, *next);
        i += next->end() - next->first - 1;
        ++next;
      } else {
        add_omitted(recorded, i);
        add_node(std::move(recorded[i]));
      }
    }
    return last_;
  }

 private:
  // --- loops of the way so far

  void note_known_loops(const std::vector<TraceId>& ids) {
    WayPosition position;
    for (TraceId id : ids) {
      const TraceNode& node = tree_[id];
      if (node.loop != kNoLoop) {
        const TraceLoop& loop = tree_.loop(node.loop);
        if (loop.head == id) enter_known(loop, node, position);
        PassedLoop& passed = passed_.back();
        const WayPosition::Level& at = position.levels[loop.level];
        passed.values.end = node.first_value + at.values + static_cast<uint32_t>(node.results.size());
        passed.slots.end = node.first_slot + at.slots + static_cast<uint32_t>(node.new_slots.size());
      }
    }
  }
  void enter_known(const TraceLoop& loop, const TraceNode& head, WayPosition& position) {
    position.enter(loop.level);
    const WayPosition::Level& at = position.levels[loop.level];
    const uint32_t values = head.first_value + at.values, slots = head.first_slot + at.slots;
    passed_.push_back({tree_.sizes()[loop.trips], {values, values, loop.values}, {slots, slots, loop.slots}});
    position.go_on(loop, passed_.back().trips);
  }

  /// Among the new nodes, segment by segment; also sets how many nodes come before them, without loops.
  std::vector<Iterations> find_loops() {
    const StraightWay straight(tree_, tree_.segment_before(fork_), static_cast<TraceId>(tree_.size() - 1));
    std::vector<const TraceNode*> way;
    for (TraceId id : straight.path()) way.push_back(&straight.tree()[id]);
    new_ = way.size() - (tree_.size() - fork_);
    std::vector<Iterations> all;
    size_t room = static_cast<size_t>(kMostLoops) - passed_.size();  // in the segment
    for (size_t begin = new_, i = new_; i <= way.size(); ++i) {
      if (i < way.size() && way[i]->kind == Kind::op) continue;
      for (const Iterations& found : find_iterations(way, begin, i)) {
        if (room == 0) continue;
        all.push_back(found);
        --room;
      }
      begin = i + 1;
      if (i < way.size() && way[i]->kind == Kind::end) room = kMostLoops;
    }
    return all;
  }

  // --- numbers

  uint32_t shift(int level, bool is_slot) const {
    uint32_t total = 0;
    for (int i = 0; i < level; ++i) total += static_cast<uint32_t>(passed_[i].trips) * passed_[i].of(is_slot).stride;
    return total;
  }

  /// A value or slot as seen from behind the first `level` loops. Of a loop, those of the last two iterations are counted from
  /// its end.
  TraceOperand seen_from(int level, uint32_t number, bool is_slot) const {
    for (int i = level; i > 0; --i) {
      const PassedLoop& loop = passed_[i - 1];
      const Numbers& numbers = loop.of(is_slot);
      if (number < numbers.begin) continue;
      const bool is_early = numbers.contains(number) && loop.trips - numbers.iteration(number) > 1;
      return counted(is_early ? i - 1 : i, number, is_slot);
    }
    return counted(0, number, is_slot);
  }
  TraceOperand counted(int level, uint32_t number, bool is_slot) const {
    return {number - shift(level, is_slot), is_slot, static_cast<uint8_t>(level)};
  }

  /// The loop, of those before this level, in whose last iteration the value was made, if each makes values of its own at this stride;
  /// 0 if there is none.
  int loop_that_ends_with(uint32_t value, int32_t stride, int level) const {
    for (int loop = level; loop > 0; --loop) {
      const Numbers& values = passed_[loop - 1].values;
      const auto own = static_cast<uint32_t>(std::abs(stride));
      if (values.stride == own && value < values.end && value + values.stride >= values.end) return loop;
    }
    return 0;
  }

  /// Operands from the i-th on that are the same value of each iteration of a loop, in order or the other way; not those of the
  /// next loop, too, which may lie at the same distance.
  std::optional<TraceOperand> run_from(int level, const TraceNode& node, size_t i, size_t& count) const {
    constexpr size_t kFewest = 3;
    const std::vector<TraceOperand>& inputs = node.inputs;
    if (i + kFewest > inputs.size() || inputs[i].is_slot) return std::nullopt;
    if (node.op == Op::grad) return std::nullopt;  // which has as many results
    const auto stride = static_cast<int32_t>(inputs[i + 1].index - inputs[i].index);
    const bool goes_back = stride < 0;
    for (count = 1; i + count < inputs.size() && !inputs[i + count].is_slot; ++count) {
      const uint32_t last = inputs[i + count - 1].index, next = inputs[i + count].index;
      if (static_cast<int32_t>(next - last) != stride) break;
      if ((goes_back || count >= kFewest) && loop_that_ends_with(goes_back ? next : last, stride, level) != 0) break;
    }
    const int loop = loop_that_ends_with(inputs[goes_back ? i : i + count - 1].index, stride, level);
    if (count < kFewest || loop == 0) return std::nullopt;
    const Numbers& values = passed_[loop - 1].values;
    TraceOperand run = goes_back                          ? counted(loop, inputs[i].index, false)
                       : values.contains(inputs[i].index) ? counted(loop - 1, inputs[i].index, false)
                                                          : seen_from(loop - 1, inputs[i].index, false);
    run.run = static_cast<uint8_t>(loop);
    run.more = static_cast<int32_t>(static_cast<int64_t>(count) - passed_[loop - 1].trips);
    run.stride = stride;
    return run;
  }

  // --- writing

  void add(TraceNode node) {
    node.parent = node.first_child = node.next_sibling = kNoTrace;
    last_ = tree_.add(last_, std::move(node));
  }

  /// Those before the i-th node: where a loop is not kept as such, each iteration has its nodes.
  void add_omitted(std::span<TraceNode> recorded, size_t i) {
    const auto [period, iterations] = std::exchange(recorded[i].omitted, {});
    for (int64_t left = iterations; left > 0; --left)
      for (size_t k = i; k < i + period; ++k) add_node(advanced(recorded[k], recorded[k + period], -left));
  }

  void add_node(TraceNode node) {
    if (node.kind == Kind::end) return add_end(std::move(node));
    const int level = static_cast<int>(passed_.size());
    node.level = static_cast<uint8_t>(level);
    node.first_value -= shift(level, false);
    node.first_slot -= shift(level, true);
    std::vector<TraceOperand> inputs;
    for (size_t i = 0, count = 1; i < node.inputs.size(); i += count) {
      const std::optional<TraceOperand> run = run_from(level, node, i, count);
      if (!run) count = 1;
      inputs.push_back(run ? *run : seen_from(level, node.inputs[i].index, node.inputs[i].is_slot));
      node.has_runs |= run.has_value();
    }
    node.inputs = std::move(inputs);
    add(std::move(node));
  }

  /// Ends of the new nodes have new places; plans know the loops now.
  void add_end(TraceNode node) {
    if (last_end_ != kNoTrace) node.segment_begin = last_end_;
    node.segment->add_sizes(new_trips_);
    add(std::move(node));
    last_end_ = last_;
    passed_.clear();
    new_trips_.clear();
  }

  /// `first`: of the recorded nodes.
  void add_loop(std::vector<TraceNode>& recorded, size_t first, const Iterations& found) {
    const int before = static_cast<int>(passed_.size());
    const TraceNode &head = recorded[first], &again = recorded[first + found.period];
    const uint32_t values = again.first_value - head.first_value, slots = again.first_slot - head.first_slot;
    const auto iterations = static_cast<uint32_t>(found.trips + 1);
    const PassedLoop passed{found.trips, {head.first_value, head.first_value + iterations * values, values},
                            {head.first_slot, head.first_slot + iterations * slots, slots}};
    TraceId head_id = kNoTrace;
    for (size_t i = first; i < first + found.period; ++i) {
      add(looped(recorded[i], recorded[i + found.period], before));
      if (head_id == kNoTrace) head_id = last_;
    }
    passed_.push_back(passed);
    const uint32_t loop = tree_.add_loop({head_id, static_cast<uint32_t>(found.period), values, slots, kNoSize,
                                          static_cast<uint8_t>(before + 1)}, found.trips);
    new_trips_.emplace_back(tree_.loop(loop).trips, found.trips);
  }

  /// A node of a loop behind `before` others; `later` is the same one iteration later.
  TraceNode looped(const TraceNode& recorded, const TraceNode& later, int before) const {
    TraceNode node = recorded;
    node.omitted = {};
    node.level = static_cast<uint8_t>(before + 1);
    node.first_value -= shift(before, false);
    node.first_slot -= shift(before, true);
    for (size_t i = 0; i < node.inputs.size(); ++i) {
      const TraceOperand recorded_operand = node.inputs[i];
      node.inputs[i] = seen_from(before, recorded_operand.index, recorded_operand.is_slot);
      node.inputs[i].stride = static_cast<int32_t>(later.inputs[i].index - recorded_operand.index);
    }
    std::vector<int64_t> steps;
    for (int i = 0; i < node.attributes.size(); ++i) steps.push_back(later.attributes[i] - node.attributes[i]);
    if (std::any_of(steps.begin(), steps.end(), [](int64_t step) { return step != 0; }))
      node.steps = std::make_shared<const std::vector<int64_t>>(std::move(steps));
    return node;
  }

  TraceTree& tree_;
  TraceId fork_;
  std::vector<PassedLoop> passed_;   // by level - 1
  size_t new_ = 0;                   // nodes of the way without loops, before what is new
  TraceId last_ = kNoTrace;          // written
  TraceId last_end_ = kNoTrace;      // of a segment, written
  BoundSizes new_trips_;             // of loops of the segment
};

}  // namespace

TraceId roll_way(TraceTree& tree, TraceId fork) { return Roller(tree, fork).run(); }

}  // namespace calque
