// Accounts for ops by marks that the passes carry along in place of source lines.
#include "compiler/op_account.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "compiler/step_sequences.h"
#include "passes/dce.h"
#include "passes/loops/period.h"
#include "passes/loops/roll.h"

namespace calque {

namespace {

int64_t bytes_of(const Type& type) {
  return type.shape.element_count() * static_cast<int64_t>(size_of(type.dtype));
}

double flops_of(const Graph& graph, const Node& node) {
  const auto elements = [&](ValueId value) {
    return static_cast<double>(graph.type(value).shape.element_count());
  };
  switch (row(node.op).kind) {
    case OpKind::elementwise:
      return elements(node.result());
    case OpKind::reduction:
      return elements(node.inputs[0]);
    case OpKind::matmul: {
      double total = 0;
      for (size_t i = 0; i + 1 < node.inputs.size(); i += 2)
        total += product_flops(graph.type(node.inputs[i]), graph.type(node.inputs[i + 1]));
      return total;
    }
    default:
      return 0;
  }
}

TraceId mark_of(const void* location) { return static_cast<TraceId>(reinterpret_cast<uintptr_t>(location)); }
TraceId mark_of(const Node& node) { return mark_of(node.location); }

class Accountant {
 public:
  explicit Accountant(const Graph& lowered) : graph_(lowered) {}

  SegmentAccount run() {
    count_block(graph_, 1, "");
    return std::move(account_);
  }

 private:
  /// Steps of a block that runs `times` times.
  void count_block(const Graph& graph, int64_t times, const std::string& where) {
    for (const Node& node : graph.nodes()) {
      switch (row(node.op).kind) {
        case OpKind::view:
          continue;
        case OpKind::loop:
          count_block(*node.body, times * node.attributes[0],
                      fmt::format("{} in loop {} of {} steps", where, loops_++, node.attributes[0]));
          continue;
        case OpKind::fusion:
          begin(graph, node, fmt::format("kernel {}{}", kernels_++, where), Reason::fused, times);
          break;
        case OpKind::matmul:
          begin(graph, node, fmt::format("product {}{}", products_++, where), Reason::product, times);
          break;
        default:
          begin(graph, node, fmt::format("eager kernel {}{}", row(node.op).name, where), Reason::eager_kernel, times);
      }
      if (!node.body)
        add(graph, node, times);
      else
        for (const Node& inner : node.body->nodes()) add(*node.body, inner, times);
    }
  }

  void begin(const Graph& graph, const Node& node, std::string label, Reason fate, int64_t times) {
    StepAccount step{std::move(label), fate};
    for (ValueId input : node.inputs) step.bytes_read += times * bytes_of(graph.type(input));
    for (uint32_t i = 0; i < node.result_count; ++i)
      step.bytes_written += times * bytes_of(graph.type(node.result(i)));
    account_.steps.push_back(std::move(step));
  }

  void add(const Graph& graph, const Node& node, int64_t times) {
    StepAccount& step = account_.steps.back();
    ++step.ops;
    step.flops += static_cast<double>(times) * flops_of(graph, node);
    if (node.location) account_.steps_of[mark_of(node)].insert(static_cast<int>(account_.steps.size()) - 1);
  }

  const Graph& graph_;
  SegmentAccount account_;
  int kernels_ = 0, products_ = 0, loops_ = 0;
};

/// The op that made a value, inside of fusions and loops too.
SavedAccount maker_of(const Graph& graph, ValueId value) {
  if (graph.is_input(value)) return {};
  const Node& node = graph.node(graph.producer(value));
  if (row(node.op).kind == OpKind::view) return maker_of(graph, node.inputs[0]);
  SavedAccount made;
  if (!node.body) {
    if (node.location) made.made_by = mark_of(node);
    return made;
  }
  const auto result = static_cast<size_t>(value - node.first_result);
  const std::span<const ValueId> inputs = node.body->inputs();
  const auto input = static_cast<size_t>(std::ranges::find(inputs, node.body->outputs()[result]) - inputs.begin());
  const LoopForm form = node.op == Op::loop ? LoopForm::of(node.attributes) : LoopForm{};
  const bool is_state = result >= form.carried && input < form.carried;
  if (is_state) made = maker_of(*node.body, node.body->outputs()[input]);
  else if (input < inputs.size()) made = maker_of(graph, node.inputs[input]);
  else made = maker_of(*node.body, node.body->outputs()[result]);
  if (node.op == Op::loop && result >= form.carried) {
    made.steps = form.length;
    made.is_state = is_state;
  }
  return made;
}

SavedAccount saved_value(const Graph& graph, ValueId value) {
  SavedAccount saved = maker_of(graph, value);
  saved.type = graph.type(value);
  return saved;
}

/// The `grad` that a node of a plan was written for; none if it was not.
TraceId grad_of(const TraceTree& tree, const Node& node) {
  if (node.location && tree[mark_of(node)].op == Op::grad) return mark_of(node);
  if (node.body)
    for (const Node& inner : node.body->nodes())
      if (const TraceId grad = grad_of(tree, inner); grad != kNoTrace) return grad;
  return kNoTrace;
}

/// What loops stack for the gradients inside a plan. What is stacked for the program as well is among it.
std::vector<SavedAccount> saved_inside(const TraceTree& tree, const Graph& graph) {
  std::vector<SavedAccount> all;
  std::map<ValueId, ValueId> stacked;  // by value: the result of a loop that it is a view of
  std::set<ValueId> known;
  for (const Node& node : graph.nodes()) {
    const TraceId grad = grad_of(tree, node);
    for (ValueId input : node.inputs) {
      const auto found = stacked.find(input);
      if (grad == kNoTrace || found == stacked.end()) continue;
      if (grad_of(tree, graph.node(graph.producer(found->second))) == grad || !known.insert(found->second).second) continue;
      all.push_back(saved_value(graph, found->second));
      all.back().grad = grad;
    }
    if (node.op == Op::loop)
      for (size_t i = LoopForm::of(node.attributes).carried; i < node.result_count; ++i)
        stacked[node.result(static_cast<uint32_t>(i))] = node.result(static_cast<uint32_t>(i));
    if (row(node.op).kind == OpKind::view)
      if (const auto found = stacked.find(node.inputs[0]); found != stacked.end())
        for (uint32_t i = 0; i < node.result_count; ++i) stacked[node.result(i)] = found->second;
  }
  return all;
}

Reason reason_of(passes::NoPeriod reason) {
  switch (reason) {
    case passes::NoPeriod::few_nodes: return Reason::few_ops;
    case passes::NoPeriod::independent: return Reason::independent_steps;
    case passes::NoPeriod::gradient: return Reason::step_gradient;
    case passes::NoPeriod::operand_count: return Reason::step_operand_count;
    case passes::NoPeriod::types: return Reason::step_shape;
    case passes::NoPeriod::attributes: return Reason::step_attribute;
    case passes::NoPeriod::origin: return Reason::step_operand;
    case passes::NoPeriod::weight: return Reason::step_weight;
    case passes::NoPeriod::rank: return Reason::step_rank;
  }
  return Reason::steps_differ;
}

/// Lines that repeat in the graph beside what was rolled.
std::vector<UnrolledStretch> unrolled_in(const TraceTree& tree, const Graph& graph, const std::set<const void*>& rolled) {
  LineKeys lines;
  std::vector<uint32_t> keys;
  for (NodeId id = 0; id < graph.nodes().size(); ++id) {
    const Node& node = graph.node(id);
    keys.push_back(!node.location || rolled.contains(node.location) ? 0 : lines.of(node.op, tree[mark_of(node)].location));
  }
  std::vector<UnrolledStretch> all;
  for (const Stretch& stretch : find_stretches(keys)) {
    const auto step = graph.nodes().subspan(stretch.first, stretch.period);
    if (std::ranges::all_of(step, [](const Node& node) { return row(node.op).kind == OpKind::view; })) continue;
    const auto first = static_cast<NodeId>(stretch.first);
    const std::optional<passes::WhyNoPeriod> why = passes::why_no_period(graph, first, stretch.period, stretch.count);
    if (!why) continue;
    const bool is_about_op = why->reason != passes::NoPeriod::few_nodes && why->reason != passes::NoPeriod::independent;
    all.push_back({stretch.period, stretch.count, mark_of(graph.node(first)), reason_of(why->reason),
                   is_about_op ? mark_of(graph.node(why->node)) : kNoTrace});
  }
  return all;
}

}  // namespace

double product_flops(const Type& left, const Type& right) {
  return 2 * static_cast<double>(left.shape.element_count()) * static_cast<double>(right.shape.back());
}

SegmentAccount account_for(const TraceTree& tree, TraceId end, const CompiledSegment& compiled) {
  const SegmentGraph marked = with_sequences_of(
      make_segment_graph(tree, tree[end].segment_begin, end, compiled.traced.held_numbers(), compiled.traced.graph.name(),
                         NodeLocations::marks),
      compiled.traced);
  const LoweredGraphs graphs = lowered_graphs(marked);
  const Graph& lowered = graphs.forward;
  SegmentAccount account = Accountant(lowered).run();
  account.backward_steps = Accountant(graphs.backward).run().steps;
  for (size_t i = compiled.traced.roots.size(); i < lowered.outputs().size(); ++i)
    account.saved.push_back(saved_value(lowered, lowered.outputs()[i]));
  for (SavedAccount& saved : saved_inside(tree, lowered)) account.saved.push_back(std::move(saved));
  const Graph live = passes::dce(marked.graph);  // as `roll` sees it
  passes::RolledNodes nodes;
  passes::roll(live, nodes);
  std::set<const void*> rolled;
  for (const auto& [later, first] : nodes) {
    account.rolled.emplace(mark_of(later), mark_of(first));
    rolled.insert({later, first});
  }
  account.unrolled = unrolled_in(tree, live, rolled);
  return account;
}

namespace {
bool has_products(const SegmentAccount& account) {
  return std::any_of(account.steps.begin(), account.steps.end(),
                     [](const StepAccount& step) { return step.fate == Reason::product; });
}
}  // namespace

std::string fate_of(const TraceTree& tree, TraceId id, const SegmentAccount& account) {
  const TraceNode& node = tree[id];
  if (node.op == Op::full) return row(Reason::constant).phrase;
  const auto found = account.steps_of.find(id);
  if (found == account.steps_of.end()) {
    if (row(node.op).kind == OpKind::view) return row(Reason::view).phrase;
    // Products that are added are one step, which carries the mark of the addition.
    if (node.op == Op::matmul && has_products(account)) return fmt::format("{}, in a sum", row(Reason::product).phrase);
    return row(Reason::shared).phrase;
  }
  std::vector<std::string> labels;
  Reason fate = Reason::eager_kernel;
  for (int step : found->second) {
    labels.push_back(account.steps[step].label);
    fate = std::min(fate, account.steps[step].fate);
  }
  if (node.op == Op::grad) return fmt::format("{} {}", row(Reason::gradient).phrase, fmt::join(labels, ", "));
  switch (fate) {
    case Reason::fused:
      return fmt::format("{} {}", row(fate).phrase, fmt::join(labels, ", "));
    case Reason::product:
      return fmt::format("{}: {}", row(fate).phrase, fmt::join(labels, ", "));
    default:
      return row(fate).phrase;
  }
}

}  // namespace calque
