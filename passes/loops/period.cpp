// Finds periods by comparing what nodes look like, then checks where their operands come from.
#include "passes/loops/period.h"

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "passes/expand_gradients.h"
#include "passes/loops/repetition.h"
#include "passes/loops/sequence.h"

namespace calque::passes {

namespace {

constexpr size_t kFewestNodes = 3, kMostNodes = 4096;  // of an iteration
constexpr auto kFewestIterations = static_cast<int64_t>(kFewestRepetitions);
constexpr int64_t kMostBack = 8;  // iterations, through which values are carried
// Steps that are independent are worth joining where there are some, and are cells' gates where there are few.
constexpr int64_t kFewestIndependent = 8;
constexpr size_t kMostIndependentNodes = 64;  // of an iteration

/// Attributes that may differ from one iteration to the next: which step is read, and numbers.
bool may_vary(Op op) { return op == Op::slice || op == Op::full; }

/// Equal numbers for those of the nodes [begin, end) that could be the same node of two iterations.
std::vector<uint32_t> looks_of_nodes(const Graph& graph, NodeId begin, NodeId end) {
  std::map<std::vector<int64_t>, uint32_t> known;
  std::vector<uint32_t> looks;
  const auto add_type = [&](std::vector<int64_t>& look, const Type& type) {
    look.push_back(static_cast<int64_t>(type.dtype));
    look.push_back(type.shape.rank());
    look.insert(look.end(), type.shape.begin(), type.shape.end());
  };
  const std::vector<bool> is_by = differentiated_by(graph);
  for (const Node& node : graph.nodes().subspan(begin, end - begin)) {
    std::vector<int64_t> look{static_cast<int64_t>(node.op), static_cast<int64_t>(node.inputs.size())};
    for (ValueId input : node.inputs) add_type(look, graph.type(input));
    for (uint32_t i = 0; i < node.result_count; ++i) add_type(look, graph.type(node.result(i)));
    if (!may_vary(node.op))
      for (int i = 0; i < node.attributes.size(); ++i) look.push_back(node.attributes[i]);
    bool is_one_of_its_kind = node.body || node.op == Op::grad;
    for (uint32_t i = 0; i < node.result_count; ++i) is_one_of_its_kind |= is_by[node.result(i)];
    if (is_one_of_its_kind) look.push_back(-1 - static_cast<int64_t>(looks.size()));
    looks.push_back(known.try_emplace(std::move(look), static_cast<uint32_t>(known.size())).first->second);
  }
  return looks;
}

/// Checks one candidate.
class PeriodChecker {
 public:
  PeriodChecker(const Graph& graph, NodeId first, size_t period, int64_t length) : graph_(graph) {
    result_.first = first;
    result_.period = period;
    result_.length = length;
    result_.origins.resize(period);
    result_.moved.resize(period);
  }

  /// Shortens the period to the iterations that are alike.
  std::optional<Period> run() {
    for (NodeId offset = 0; offset < result_.period; ++offset)
      if (!check_node(offset)) return std::nullopt;
    for (NodeId offset = 0; offset < result_.period; ++offset)
      if (!classify(offset)) return std::nullopt;
    for (const std::vector<OperandOrigin>& origins : result_.origins)
      for (const OperandOrigin& origin : origins)
        if (origin.kind == OperandOrigin::Kind::carried && result_.moved[origin.offset]) {
          refuse(NoPeriod::attributes, origin.offset);
          return std::nullopt;
        }
    return std::move(result_);
  }
  /// The same for steps that hand nothing on. `opaque`: see are_steps_in_a_row.
  std::optional<Period> run_independent(const std::set<ValueId>& opaque) {
    for (NodeId offset = 0; offset < result_.period; ++offset)
      if (!check_node(offset)) return std::nullopt;
    bool computes = false;
    std::vector<bool> differs(result_.period);  // from step to step
    for (NodeId offset = 0; offset < result_.period; ++offset) {
      if (!classify(offset) || !reads_in_a_row(offset, opaque)) return std::nullopt;
      differs[offset] = result_.moved[offset] || std::ranges::any_of(result_.origins[offset], [&](const OperandOrigin& origin) {
        return origin.kind == OperandOrigin::Kind::family ||
               (origin.kind == OperandOrigin::Kind::same_iteration && differs[origin.offset]);
      });
      computes |= differs[offset] && !result_.moved[offset] && row(node(0, offset).op).kind != OpKind::view;
    }
    return computes && result_.length >= kFewestIndependent ? std::optional(std::move(result_)) : std::nullopt;
  }

  /// Once run() gave nothing.
  const std::optional<WhyNoPeriod>& refusal() const { return refusal_; }

 private:
  bool refuse(NoPeriod reason, NodeId offset) {
    refusal_ = {reason, result_.node(1, offset)};
    return false;
  }
  const Node& node(int64_t iteration, NodeId offset) const { return graph_.node(result_.node(iteration, offset)); }
  bool is_inside(ValueId value, int64_t iteration) const {
    if (iteration < 0 || graph_.is_input(value)) return false;
    const NodeId producer = graph_.producer(value);
    return producer >= result_.node(iteration, 0) && producer < result_.node(iteration + 1, 0);
  }
  bool is_outside(ValueId value) const { return graph_.is_input(value) || graph_.producer(value) < result_.first; }

  /// The origin that the operand has in an iteration; none if it comes from further back.
  std::optional<OperandOrigin> origin(NodeId offset, size_t operand, int64_t iteration) const {
    const ValueId value = node(iteration, offset).inputs[operand];
    if (is_outside(value)) return OperandOrigin{OperandOrigin::Kind::family};
    for (int64_t back = 0; back <= kMostBack; ++back) {
      if (!is_inside(value, iteration - back)) continue;
      const Node& made = graph_.node(graph_.producer(value));
      return OperandOrigin{back == 0 ? OperandOrigin::Kind::same_iteration : OperandOrigin::Kind::carried,
                           graph_.producer(value) - result_.node(iteration - back, 0), value - made.first_result, back};
    }
    return std::nullopt;
  }
  /// What the operand is once what is carried comes from inside: first, from as many iterations before as there were.
  std::optional<OperandOrigin> settled_origin(NodeId offset, size_t operand) const {
    const std::optional<OperandOrigin> second = origin(offset, operand, 1);
    if (!second || second->kind != OperandOrigin::Kind::family) return second;
    for (int64_t i = 2; i <= kMostBack && i + 1 < result_.length; ++i) {
      const std::optional<OperandOrigin> later = origin(offset, operand, i);
      if (later && later->kind == OperandOrigin::Kind::family) continue;
      return later && later->back == i ? later : second;
    }
    return second;
  }

  /// The origins of a node's operands; cuts the period where they change.
  bool check_node(NodeId offset) {
    for (size_t k = 0; k < node(1, offset).inputs.size(); ++k) {
      const std::optional<OperandOrigin> expected = settled_origin(offset, k);
      if (!expected) return refuse(NoPeriod::origin, offset);
      const auto fits = [&](int64_t i) {
        const std::optional<OperandOrigin> actual = origin(offset, k, i);
        return actual && (i < expected->back ? actual->kind == OperandOrigin::Kind::family : *actual == *expected);
      };
      if (!fits(0) || !fits(1)) return refuse(NoPeriod::origin, offset);
      for (int64_t i = 2; i < result_.length; ++i)
        if (!fits(i)) result_.length = i;
      result_.origins[offset].push_back(*expected);
    }
    return result_.length >= kFewestIterations || refuse(NoPeriod::origin, offset);
  }

  /// Once the length is known: which outside operands are invariant, and which nodes move out.
  bool classify(NodeId offset) {
    bool varies = false, reads_inside = false;
    for (size_t k = 0; k < result_.origins[offset].size(); ++k) {
      OperandOrigin& origin = result_.origins[offset][k];
      const bool is_moved_value = origin.kind == OperandOrigin::Kind::same_iteration && result_.moved[origin.offset];
      if (origin.kind != OperandOrigin::Kind::family) {
        reads_inside |= !is_moved_value;
        continue;
      }
      bool constant = true;
      for (int64_t i = 1; i < result_.length; ++i) constant &= node(i, offset).inputs[k] == node(0, offset).inputs[k];
      if (constant) origin.kind = OperandOrigin::Kind::invariant;
      else if (is_weight(node(0, offset), k)) return refuse(NoPeriod::weight, offset);
    }
    for (int64_t i = 1; i < result_.length; ++i) varies |= node(i, offset).attributes != node(0, offset).attributes;
    result_.moved[offset] = varies;
    return !varies || !reads_inside || refuse(NoPeriod::attributes, offset);
  }

  /// Whether what differs from step to step is a sequence: what comes from outside, and what is moved there.
  bool reads_in_a_row(NodeId offset, const std::set<ValueId>& opaque) const {
    const auto is_sequence = [&](const auto& value_in) {
      std::vector<ValueId> values;
      for (int64_t i = 0; i < result_.length; ++i) values.push_back(value_in(i));
      return are_steps_in_a_row(graph_, values, opaque);
    };
    for (size_t k = 0; k < result_.origins[offset].size(); ++k) {
      const OperandOrigin::Kind kind = result_.origins[offset][k].kind;
      if (kind == OperandOrigin::Kind::carried) return false;
      const bool varies = kind == OperandOrigin::Kind::family && !result_.moved[offset];
      if (varies && !is_sequence([&](int64_t i) { return node(i, offset).inputs[k]; })) return false;
    }
    return !result_.moved[offset] || is_sequence([&](int64_t i) { return node(i, offset).first_result; });
  }

  /// A family of right sides of products is a stack of layers, not a sequence.
  static bool is_weight(const Node& node, size_t operand) { return node.op == Op::matmul && operand == 1; }

  const Graph& graph_;
  Period result_;
  std::optional<WhyNoPeriod> refusal_;
};

int64_t bytes_of(const Type& type) { return type.shape.element_count() * static_cast<int64_t>(size_of(type.dtype)); }

/// Bytes that one iteration hands to the next if iterations begin at `first`; negative when none.
int64_t carried_bytes(const Graph& graph, NodeId first, size_t period) {
  std::set<ValueId> carried;
  const NodeId begin = first + static_cast<NodeId>(period), end = begin + static_cast<NodeId>(period);
  for (NodeId id = begin; id < end; ++id)
    for (ValueId input : graph.node(id).inputs)
      if (!graph.is_input(input) && graph.producer(input) >= first && graph.producer(input) < begin) carried.insert(input);
  int64_t bytes = 0;
  for (ValueId value : carried) bytes += bytes_of(graph.type(value));
  return carried.empty() ? -1 : bytes;
}

/// Places where iterations could begin that look alike one period later, the best first. None where at one of them nothing is handed on:
/// at the others, something is only since what belongs together is cut in the middle.
std::vector<NodeId> phases_of(const Graph& graph, NodeId begin, NodeId end, size_t period) {
  const size_t rest = (end - begin) % period;
  std::vector<std::pair<int64_t, NodeId>> phases;  // bytes, first node; whole iterations lost count first
  for (NodeId phase = 0; phase < period; ++phase) {
    if ((end - begin - phase) / period < static_cast<size_t>(kFewestIterations)) break;
    const int64_t bytes = carried_bytes(graph, begin + phase, period);
    if (bytes < 0) return {};
    const int64_t lost = phase > rest ? int64_t{1} << 50 : 0;
    phases.emplace_back(lost + bytes, begin + phase);
  }
  std::sort(phases.begin(), phases.end());
  constexpr size_t kMostTries = 8;
  if (phases.size() > kMostTries) phases.resize(kMostTries);
  std::vector<NodeId> first;
  for (const auto& [bytes, node] : phases) first.push_back(node);
  return first;
}

/// The nodes [begin, end) look alike one period later: where do iterations begin? `why`, if not null, gets what speaks against
/// the best place.
std::optional<Period> best_phase(const Graph& graph, NodeId begin, NodeId end, size_t period,
                                 std::optional<WhyNoPeriod>* why = nullptr) {
  for (NodeId first : phases_of(graph, begin, end, period)) {
    std::optional<WhyNoPeriod> refusal;
    for (NodeId peeled : {NodeId{0}, static_cast<NodeId>(period)}) {  // a first step may differ
      const auto length = static_cast<int64_t>((end - first - peeled) / period);
      if (end < first + peeled || length < kFewestIterations) continue;
      PeriodChecker checker(graph, first + peeled, period, length);
      if (std::optional<Period> found = checker.run()) return found;
      refusal = checker.refusal();
    }
    if (why && !*why) *why = refusal;
  }
  return std::nullopt;
}

/// Of a node and the same one an iteration later, by what looks_of_nodes() compares.
NoPeriod difference(const Graph& graph, const Node& a, const Node& b) {
  const auto same_type = [&](ValueId x, ValueId y) { return graph.type(x) == graph.type(y); };
  if (a.inputs.size() != b.inputs.size()) return NoPeriod::operand_count;
  if (a.result_count != b.result_count || !std::ranges::equal(a.inputs, b.inputs, same_type)) return NoPeriod::types;
  for (uint32_t i = 0; i < a.result_count; ++i)
    if (!same_type(a.result(i), b.result(i))) return NoPeriod::types;
  if (!may_vary(a.op) && a.attributes != b.attributes) return NoPeriod::attributes;
  return NoPeriod::gradient;  // what is one of its kind
}

/// Knows stretches of nodes in which no node reads from another: no iteration there hands anything on.
class Handing {
 public:
  explicit Handing(const Graph& graph) : graph_(graph) {}

  bool is_possible(NodeId begin, NodeId end) {
    if (begin >= none_begin_ && end <= none_end_) return false;
    for (NodeId id = begin; id < end; ++id)
      for (ValueId input : graph_.node(id).inputs)
        if (!graph_.is_input(input) && graph_.producer(input) >= begin) return true;
    none_begin_ = begin;
    none_end_ = end;
    return false;
  }

 private:
  const Graph& graph_;
  NodeId none_begin_ = 0, none_end_ = 0;
};

}  // namespace

std::optional<NodeId> node_of_full_rank(const Graph& graph, const Period& period) {
  for (NodeId id = period.first; id < period.end(); ++id)
    for (uint32_t i = 0; i < graph.node(id).result_count; ++i)
      if (graph.type(graph.node(id).result(i)).shape.rank() == kMaxRank) return id;
  return std::nullopt;
}

std::optional<Period> find_period(const Graph& graph, NodeId begin, NodeId end) {
  const std::vector<uint32_t> looks = looks_of_nodes(graph, begin, end);
  const size_t count = end - begin;
  std::optional<Period> best;
  Handing handing(graph);
  const auto covered = [](const Period& found) { return found.period * static_cast<size_t>(found.length); };
  for (size_t period = kFewestNodes; period <= std::min(kMostNodes, count / kFewestRepetitions); ++period) {
    if (best && 2 * covered(*best) >= count) break;  // a longer one could only repeat it
    for_each_repetition(looks, period, [&](size_t first, size_t last) {
      const NodeId from = begin + static_cast<NodeId>(first), to = begin + static_cast<NodeId>(last);
      if (!handing.is_possible(from, to)) return;
      std::optional<Period> found = best_phase(graph, from, to, period);
      if (found && (!best || covered(*found) > covered(*best))) best = std::move(found);
    });
  }
  return best;
}

std::optional<Period> find_independent_steps(const Graph& graph, NodeId begin, NodeId end) {
  const std::vector<uint32_t> looks = looks_of_nodes(graph, begin, end);
  const size_t longest = std::min(kMostIndependentNodes, (end - begin) / static_cast<size_t>(kFewestIndependent));
  std::set<ValueId> opaque;
  const std::vector<bool> is_by = differentiated_by(graph);
  for (ValueId value = 0; value < is_by.size(); ++value)
    if (is_by[value]) opaque.insert(value);
  std::optional<Period> found;
  for (size_t period = 1; period <= longest && !found; ++period)
    for_each_repetition(looks, period, [&](size_t first, size_t last) {
      const NodeId to = begin + static_cast<NodeId>(last);
      for (NodeId from = begin + static_cast<NodeId>(first), phase = 0; !found && phase < period; ++phase, ++from) {
        const auto length = static_cast<int64_t>((to - from) / period);
        if (length < kFewestIndependent || carried_bytes(graph, from, period) >= 0) continue;
        found = PeriodChecker(graph, from, period, length).run_independent(opaque);
      }
    });
  return found;
}

std::optional<WhyNoPeriod> why_no_period(const Graph& graph, NodeId first, size_t period, size_t count) {
  const NodeId end = first + static_cast<NodeId>(period * count), last = end - static_cast<NodeId>(period);
  if (period < kFewestNodes) return WhyNoPeriod{NoPeriod::few_nodes, last};
  const NodeId before = last - static_cast<NodeId>(period);
  const std::vector<uint32_t> looks = looks_of_nodes(graph, before, end);
  for (NodeId offset = 0; offset < period; ++offset)
    if (looks[offset] != looks[offset + period])
      return WhyNoPeriod{difference(graph, graph.node(before + offset), graph.node(last + offset)), last + offset};
  if (phases_of(graph, first, end, period).empty()) return WhyNoPeriod{NoPeriod::independent, last};
  std::optional<WhyNoPeriod> why;
  if (const std::optional<Period> found = best_phase(graph, first, end, period, &why)) {
    const std::optional<NodeId> full = node_of_full_rank(graph, *found);
    return full ? std::optional(WhyNoPeriod{NoPeriod::rank, *full}) : std::nullopt;
  }
  return why;
}

}  // namespace calque::passes
