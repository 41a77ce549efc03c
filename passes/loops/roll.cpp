// Builds a loop node from each period of a program.
#include "passes/loops/roll.h"

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "passes/dce.h"
#include "passes/expand_gradients.h"
#include "passes/loops/period.h"
#include "passes/loops/sequence.h"
#include "passes/rewriter.h"

namespace calque::passes {

namespace {

/// A result of the body.
using BodyResult = std::pair<NodeId, uint32_t>;
/// What is carried: a result of so many iterations before as there are values, which stand for it in the first iterations. One
/// result may begin as two values.
using Carried = std::pair<BodyResult, std::vector<ValueId>>;

class LoopBuilder {
 public:
  /// `opaque`: values of the new graph; see join_steps.
  LoopBuilder(Rewriter& rewrite, const Period& period, const std::set<ValueId>& opaque)
      : rewrite_(rewrite), source_(rewrite.source()), period_(period), opaque_(opaque) {
    find_uses();
  }

  void build() {
    move_nodes_out();
    bind_operands();
    for (NodeId offset = 0; offset < period_.period; ++offset)
      if (!period_.moved[offset]) add_to_body(offset);
    return_results();
    add_loop();
  }

 private:
  struct Use {
    int64_t iteration;
    ValueId value;
  };
  const Node& node(int64_t iteration, NodeId offset) const { return source_.node(period_.node(iteration, offset)); }
  const void* location() const { return node(0, 0).location; }

  void use(ValueId value) {
    if (source_.is_input(value)) return;
    const NodeId producer = source_.producer(value);
    if (producer < period_.first || producer >= period_.end()) return;
    const NodeId offset = (producer - period_.first) % static_cast<NodeId>(period_.period);
    if (period_.moved[offset]) return;
    uses_[{offset, value - source_.node(producer).first_result}].push_back(
        {static_cast<int64_t>((producer - period_.first) / period_.period), value});
  }
  void find_uses() {
    for (NodeId id = period_.end(); id < source_.nodes().size(); ++id)
      for (ValueId input : source_.node(id).inputs) use(input);
    for (ValueId output : source_.outputs()) use(output);
  }

  void move_nodes_out() {
    for (int64_t i = 0; i < period_.length; ++i)
      for (NodeId offset = 0; offset < period_.period; ++offset)
        if (period_.moved[offset]) rewrite_.copy(node(i, offset));
  }

  bool is_outside(const OperandOrigin& origin) const {
    return origin.kind == OperandOrigin::Kind::family ||
           (origin.kind == OperandOrigin::Kind::same_iteration && period_.moved[origin.offset]);
  }

  /// Inputs of the body: carried values, sequences, invariants, in this order.
  void bind_operands() {
    for (NodeId offset = 0; offset < period_.period; ++offset) {
      if (period_.moved[offset]) continue;
      for (size_t k = 0; k < period_.origins[offset].size(); ++k) bind(offset, k, period_.origins[offset][k]);
    }
    carry_last_values();
    const auto count = std::ranges::count_if(sequences_, [](const auto& entry) { return entry.second.descending; });
    reverse_ = !sequences_.empty() && 2 * static_cast<size_t>(count) > sequences_.size();
    for (const auto& [carried, initial] : carried_) {
      inputs_.push_back(initial);
      body_carried_[carried] = body_.add_input(rewrite_.graph().type(initial));
    }
    for (const auto& [family, sequence] : sequences_) {
      inputs_.push_back(in_order(rewrite_.graph(), sequence, reverse_, location()));
      body_families_[family] = body_.add_input(source_.type(family[0]));
    }
    for (ValueId value : invariants_) {
      inputs_.push_back(rewrite_(value));
      body_invariants_[value] = body_.add_input(source_.type(value));
    }
  }

  /// What is used of the last iteration only is carried too, rather than kept of all: no iteration reads it.
  void carry_last_values() {
    constexpr ValueId kNobody = ~ValueId{0};
    for (const auto& [result, uses] : uses_) {
      const Type type = source_.type(uses[0].value);
      if (is_carried(result) || !std::ranges::all_of(uses, [&](const Use& use) { return is_last(use); })) continue;
      carried_[{result, {kNobody}}] =
          rewrite_.graph().add(Op::full, {}, Attributes::of(0.0, type.dtype, Ints(type.shape)), location()).result();
    }
  }

  void bind(NodeId offset, size_t k, const OperandOrigin& origin) {
    const ValueId first = node(0, offset).inputs[k];
    if (is_outside(origin)) {
      const std::vector<ValueId> values = family(offset, k);
      if (sequences_.contains(values)) return;
      sequences_[values] = join_steps(rewrite_.graph(), rewrite_(values), location(), opaque_);
    } else if (origin.kind == OperandOrigin::Kind::invariant) {
      if (!std::ranges::count(invariants_, first)) invariants_.push_back(first);
    } else if (origin.kind == OperandOrigin::Kind::carried) {
      // Each iteration hands on what it was handed, until it is read.
      for (Carried carried = carried_by(offset, k, origin); !carried.second.empty(); carried.second.erase(carried.second.begin()))
        carried_.try_emplace(carried, rewrite_(carried.second.front()));
    }
  }

  Carried carried_by(NodeId offset, size_t k, const OperandOrigin& origin) const {
    Carried carried{{origin.offset, origin.result}, {}};
    for (int64_t i = 0; i < origin.back; ++i) carried.second.push_back(node(i, offset).inputs[k]);
    return carried;
  }

  std::vector<ValueId> family(NodeId offset, size_t k) const {
    std::vector<ValueId> values;
    for (int64_t i = 0; i < period_.length; ++i) values.push_back(node(i, offset).inputs[k]);
    return values;
  }

  void add_to_body(NodeId offset) {
    const Node& original = node(0, offset);
    std::vector<ValueId> inputs;
    for (size_t k = 0; k < original.inputs.size(); ++k) {
      const OperandOrigin& origin = period_.origins[offset][k];
      const BodyResult result{origin.offset, origin.result};
      if (is_outside(origin)) inputs.push_back(body_families_.at(family(offset, k)));
      else if (origin.kind == OperandOrigin::Kind::invariant) inputs.push_back(body_invariants_.at(original.inputs[k]));
      else if (origin.kind == OperandOrigin::Kind::carried) inputs.push_back(body_carried_.at(carried_by(offset, k, origin)));
      else inputs.push_back(body_results_.at(result));
    }
    const Node& added = append_copy(body_, original, inputs);
    for (uint32_t i = 0; i < added.result_count; ++i) body_results_[{offset, i}] = added.result(i);
  }

  bool is_last(const Use& use) const { return use.iteration == period_.length - 1; }
  bool is_carried(const BodyResult& result) const {
    const auto found = carried_.lower_bound({result, {}});
    return found != carried_.end() && found->first.first == result;
  }
  bool only_last_is_used(const BodyResult& result) const {
    return is_carried(result) && std::ranges::all_of(uses_.at(result), [&](const Use& use) { return is_last(use); });
  }

  void return_results() {
    std::vector<ValueId> outputs;
    for (const auto& [carried, initial] : carried_) {
      const std::vector<ValueId> later(carried.second.begin() + 1, carried.second.end());
      outputs.push_back(later.empty() ? body_results_.at(carried.first) : body_carried_.at({carried.first, later}));
    }
    for (const auto& [result, uses] : uses_) {
      if (only_last_is_used(result)) continue;
      stacked_[result] = outputs.size();
      outputs.push_back(body_results_.at(result));
    }
    body_.set_outputs(std::move(outputs));
  }

  void add_loop() {
    const LoopForm form{period_.length, carried_.size(), sequences_.size(), reverse_};
    const ValueId first_result = rewrite_.graph().add_loop(inputs_, form, std::move(body_), location()).first_result;
    std::map<BodyResult, ValueId> last;
    ValueId final = first_result;
    for (const auto& [carried, initial] : carried_) {
      if (carried.second.size() == 1) last[carried.first] = final;
      ++final;
    }
    for (const auto& [result, uses] : uses_)
      for (const Use& use : uses) {
        if (is_last(use) && last.contains(result)) {
          rewrite_.set(use.value, last[result]);
          continue;
        }
        const ValueId sequence = first_result + static_cast<ValueId>(stacked_.at(result));
        const int64_t index = reverse_ ? period_.length - 1 - use.iteration : use.iteration;
        if (const auto [entry, is_new] = steps_.try_emplace({sequence, index}); is_new)
          entry->second = step_of(rewrite_.graph(), sequence, index, location());
        rewrite_.set(use.value, steps_.at({sequence, index}));
      }
  }

  Rewriter& rewrite_;
  const Graph& source_;
  const Period& period_;
  const std::set<ValueId>& opaque_;
  Graph body_{"step"};
  bool reverse_ = false;
  std::vector<ValueId> inputs_;
  std::map<Carried, ValueId> carried_;                        // with the initial value in the new graph
  std::map<std::vector<ValueId>, Sequence> sequences_;        // by the values of the source
  std::vector<ValueId> invariants_;
  std::map<BodyResult, std::vector<Use>> uses_;               // behind the loop
  std::map<BodyResult, size_t> stacked_;                      // with the number of the result
  std::map<Carried, ValueId> body_carried_;
  std::map<BodyResult, ValueId> body_results_;
  std::map<std::vector<ValueId>, ValueId> body_families_;
  std::map<ValueId, ValueId> body_invariants_;
  std::map<std::pair<ValueId, int64_t>, ValueId> steps_;
};

using Find = std::optional<Period> (*)(const Graph& graph, NodeId begin, NodeId end);

/// The loops among the nodes [begin, end), in order.
void find_periods(const Graph& graph, Find find, NodeId begin, NodeId end, std::vector<Period>& periods) {
  std::optional<Period> period = find(graph, begin, end);
  if (!period || node_of_full_rank(graph, *period)) return;
  find_periods(graph, find, begin, period->first, periods);
  const NodeId behind = period->end();
  periods.push_back(std::move(*period));
  find_periods(graph, find, behind, end, periods);
}

std::vector<Period> find_periods(const Graph& graph, Find find) {
  std::vector<Period> periods;
  find_periods(graph, find, 0, static_cast<NodeId>(graph.nodes().size()), periods);
  return periods;
}

/// A graph with a loop for each of the periods.
Graph with_loops(const Graph& graph, const std::vector<Period>& periods) {
  Rewriter rewrite(graph);
  const std::vector<bool> is_by = differentiated_by(graph);
  std::set<ValueId> opaque;
  NodeId next = 0;
  for (const Period& period : periods) {
    for (; next < period.first; ++next) copy_opaque(rewrite, graph.node(next), is_by, opaque);
    LoopBuilder(rewrite, period, opaque).build();
    next = period.end();
  }
  for (; next < graph.nodes().size(); ++next) rewrite.copy(graph.node(next));
  return dce(collect_steps(rewrite.finish()));
}

void note_rolled(const Graph& graph, const std::vector<Period>& periods, RolledNodes& rolled) {
  for (const Period& period : periods)
    for (int64_t iteration = 1; iteration < period.length; ++iteration)
      for (NodeId offset = 0; offset < period.period; ++offset)
        rolled.emplace_back(graph.node(period.node(iteration, offset)).location, graph.node(period.node(0, offset)).location);
}

}  // namespace

Graph roll(const Graph& recorded) {
  RolledNodes rolled;
  return roll(recorded, rolled);
}

Graph roll(const Graph& recorded, RolledNodes& rolled) {
  // What nobody reads must not become a part of a loop that somebody reads, and ask for its operands.
  Graph graph = dce(recorded);
  const auto roll_found = [&](Find find) {
    const std::vector<Period> periods = find_periods(graph, find);
    note_rolled(graph, periods, rolled);
    if (!periods.empty()) graph = with_loops(graph, periods);
    return !periods.empty();
  };
  roll_found(find_period);
  // Only now what loops gave are steps of sequences; and what is done with each of these are steps again.
  constexpr int kMostInTurn = 8;
  for (int i = 0; i < kMostInTurn && roll_found(find_independent_steps);) ++i;
  return graph;
}

}  // namespace calque::passes
