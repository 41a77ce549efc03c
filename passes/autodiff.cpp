// Autodiff: gradients are written behind the program, and the result is cut in two.
#include "passes/autodiff.h"

#include <fmt/format.h>

#include <algorithm>
#include <unordered_set>
#include <utility>

#include "passes/cse.h"
#include "passes/dce.h"
#include "passes/expand_composites.h"
#include "passes/partition.h"
#include "passes/reverse_mode.h"
#include "passes/rewriter.h"

namespace calque {

void spread_requires_grad(const Graph& program, std::vector<bool>& requires_grad) {
  for (const Node& node : program.nodes()) {
    if (node.op == Op::detach || std::ranges::none_of(node.inputs, [&](ValueId input) { return requires_grad[input]; })) continue;
    for (uint32_t i = 0; i < node.result_count; ++i)
      if (is_floating(program.type(node.result(i)).dtype)) requires_grad[node.result(i)] = true;
  }
}

std::vector<bool> values_with_gradient(const Graph& program, std::span<const bool> input_requires_grad) {
  std::vector<bool> requires_grad(program.value_count());
  for (size_t i = 0; i < program.inputs().size(); ++i)
    requires_grad[program.inputs()[i]] =
        input_requires_grad[i] && is_floating(program.type(program.inputs()[i]).dtype);
  spread_requires_grad(program, requires_grad);
  return requires_grad;
}

namespace {

using passes::JointGraph;

/// Names for further inputs that no input of the program has.
class FreshNames {
 public:
  explicit FreshNames(const Graph& program) {
    for (size_t i = 0; i < program.inputs().size(); ++i) taken_.insert(program.input_name(i));
  }
  std::string operator()(std::string name) {
    while (!taken_.insert(name).second) name += '_';
    return name;
  }

 private:
  std::unordered_set<std::string> taken_;
};

/// The nodes that make what the program gives, behind the views of it. What a tape keeps of another node that computes the
/// same is memory of its own, which nobody can write.
std::vector<bool> makes_output(const Graph& joint, size_t program_outputs) {
  std::vector<bool> makes(joint.nodes().size());
  for (ValueId value : joint.outputs().first(program_outputs)) {
    value = passes::memory_of(joint, value);
    if (!joint.is_input(value)) makes[joint.producer(value)] = true;
  }
  return makes;
}

Graph forward_part(const JointGraph& joint, const std::vector<ValueId>& saved) {
  const Graph& graph = joint.graph;
  std::vector<bool> live(graph.value_count());
  const std::span<const ValueId> outputs = graph.outputs().first(joint.program_outputs);
  for (ValueId value : outputs) live[value] = true;
  for (ValueId value : saved) live[value] = true;
  const auto is_live = [&](const Node& node) {
    for (uint32_t i = 0; i < node.result_count; ++i)
      if (live[node.result(i)]) return true;
    return false;
  };
  for (size_t id = graph.nodes().size(); id-- > 0;)
    if (is_live(graph.node(id)))
      for (ValueId input : graph.node(id).inputs) live[input] = true;

  Graph forward(graph.name());
  std::vector<ValueId> map(graph.value_count());
  for (size_t i = 0; i < joint.program_inputs; ++i)
    map[graph.inputs()[i]] = forward.add_input(graph.type(graph.inputs()[i]), graph.input_name(i));
  const auto carry = [&](std::span<const ValueId> values, std::vector<ValueId> carried = {}) {
    for (ValueId value : values) carried.push_back(map[value]);
    return carried;
  };
  for (const Node& node : graph.nodes()) {
    if (!is_live(node)) continue;
    const Node& added = passes::append_copy(forward, node, carry(node.inputs));
    for (uint32_t i = 0; i < node.result_count; ++i) map[node.result(i)] = added.result(i);
  }
  forward.set_outputs(carry(saved, carry(outputs)));
  return forward;
}

/// Builds the backward graph; `gradient_outputs[i]` is the program output whose gradient is input
/// `program_inputs + i`.
void backward_part(const JointGraph& joint, const passes::Partition& cut,
                   std::span<const int> gradient_outputs, FreshNames& fresh, Differentiation& result) {
  const Graph& graph = joint.graph;
  Graph backward(graph.name() + "_backward");
  std::vector<ValueId> map(graph.value_count());
  const auto add_source = [&](ValueId value, std::string name, Differentiation::SourceKind kind,
                              size_t index) {
    map[value] = backward.add_input(graph.type(value), std::move(name));
    result.sources.push_back({kind, static_cast<int>(index)});
  };
  for (size_t i = 0; i < joint.program_inputs; ++i)
    if (std::ranges::count(cut.inputs, graph.inputs()[i]))
      add_source(graph.inputs()[i], graph.input_name(i), Differentiation::SourceKind::input, i);
  for (size_t i = 0; i < cut.saved.size(); ++i)
    add_source(cut.saved[i], fresh(fmt::format("saved{}", i)), Differentiation::SourceKind::saved, i);

  const std::vector<uint32_t> uses = graph.use_counts();
  for (size_t i = 0; i < gradient_outputs.size(); ++i)
    if (const size_t input = joint.program_inputs + i; uses[graph.inputs()[input]] > 0)
      add_source(graph.inputs()[input], graph.input_name(input), Differentiation::SourceKind::output_gradient,
                 gradient_outputs[i]);

  std::vector<bool> is_saved(graph.value_count());
  for (ValueId value : cut.saved) is_saved[value] = true;
  std::vector<ValueId> inputs;
  for (NodeId id = 0; id < graph.nodes().size(); ++id) {
    if (!cut.in_backward[id]) continue;
    const Node& node = graph.node(id);
    inputs.clear();
    for (ValueId input : node.inputs) inputs.push_back(map[input]);
    const Node& added = passes::append_copy(backward, node, inputs);
    for (uint32_t i = 0; i < node.result_count; ++i)
      if (!is_saved[node.result(i)]) map[node.result(i)] = added.result(i);
  }
  std::vector<ValueId> outputs;
  for (ValueId output : graph.outputs().subspan(joint.program_outputs)) outputs.push_back(map[output]);
  backward.set_outputs(std::move(outputs));
  result.backward = std::move(backward);
}

}  // namespace

Differentiation differentiate(const Graph& program_with_composites, std::span<const bool> input_requires_grad,
                              std::span<const bool> output_has_gradient) {
  const Graph program = passes::expand_composites(program_with_composites);
  FreshNames fresh(program);
  std::vector<int> gradient_outputs;
  const std::vector<bool> flows = values_with_gradient(program, input_requires_grad);
  Graph behind = program;  // the same values, and what is written behind them
  passes::SavingLoops saving;
  passes::ReverseMode reverse(behind, flows, saving);
  for (size_t i = 0; i < program.outputs().size(); ++i) {
    const ValueId output = program.outputs()[i];
    if (!output_has_gradient[i] || !flows[output]) continue;
    reverse.seed(output, behind.add_input(program.type(output), fresh(fmt::format("d_output{}", i))));
    gradient_outputs.push_back(static_cast<int>(i));
  }
  reverse.run();

  Differentiation result;
  std::vector<ValueId> outputs(program.outputs().begin(), program.outputs().end());
  for (size_t i = 0; i < program.inputs().size(); ++i) {
    const std::optional<ValueId> gradient = reverse.gradient(program.inputs()[i]);
    if (!gradient) continue;
    outputs.push_back(*gradient);
    result.wanted.push_back(static_cast<int>(i));
  }
  behind.set_outputs(std::move(outputs));
  const Graph joint = passes::dce(saving.install(behind));
  // Every gradient is written down, so values may be merged now without changing the order of any sum.
  const JointGraph whole{passes::dce(passes::cse(joint, makes_output(joint, program.outputs().size()))), program.inputs().size(),
                         program.outputs().size()};
  const passes::Partition cut = passes::partition(whole);
  result.forward = forward_part(whole, cut.saved);
  result.saved_is_apart = cut.saved_is_apart;
  backward_part(whole, cut, gradient_outputs, fresh, result);
  return result;
}

}  // namespace calque
