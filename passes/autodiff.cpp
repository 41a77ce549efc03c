// Autodiff: walks the program backwards as the eager tape does, writing gradients behind it, and cuts the
// result in two.
#include "passes/autodiff.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <unordered_set>
#include <utility>

#include "ir/op/error.h"
#include "passes/cse.h"
#include "passes/dce.h"
#include "passes/expand_composites.h"
#include "passes/loops/loop_gradient.h"
#include "passes/partition.h"
#include "passes/rewriter.h"

namespace calque {

std::vector<bool> values_with_gradient(const Graph& program, std::span<const bool> input_requires_grad) {
  std::vector<bool> requires_grad(program.value_count());
  for (size_t i = 0; i < program.inputs().size(); ++i)
    requires_grad[program.inputs()[i]] =
        input_requires_grad[i] && is_floating(program.type(program.inputs()[i]).dtype);
  for (const Node& node : program.nodes()) {
    const bool any = node.op != Op::detach &&
                     std::ranges::any_of(node.inputs, [&](ValueId input) { return requires_grad[input]; });
    for (uint32_t i = 0; i < node.result_count; ++i)
      requires_grad[node.result(i)] = any && is_floating(program.type(node.result(i)).dtype);
  }
  return requires_grad;
}

namespace {

using passes::JointGraph;

/// Writes the gradients of a program behind it.
class ReverseMode {
 public:
  ReverseMode(const Graph& program, std::span<const bool> input_requires_grad)
      : program_(program),
        requires_grad_(values_with_gradient(program, input_requires_grad)),
        joint_(program),
        emitter_(joint_),
        gradients_(program.value_count()) {}

  /// An output's incoming gradient counts before what any node contributes.
  void seed(size_t output, const std::string& name) {
    const ValueId value = program_.outputs()[output];
    if (!requires_grad_[value]) return;
    const Value incoming = emitter_.value(joint_.add_input(program_.type(value), name));
    gradients_[value] = accumulate(gradients_[value], incoming);
  }

  void run() {
    for (size_t id = program_.nodes().size(); id-- > 0;) differentiate(static_cast<NodeId>(id));
  }

  /// The gradient of an input; null where there is none.
  Value input_gradient(size_t i) const {
    const ValueId input = program_.inputs()[i];
    return requires_grad_[input] ? gradients_[input] : Value{};
  }
  /// With these outputs.
  Graph take_joint(std::vector<ValueId> outputs) {
    joint_.set_outputs(std::move(outputs));
    return passes::install_saving_loops(joint_, saving_loops_);
  }

 private:
  void differentiate_loop(NodeId id) {
    const Node& node = program_.node(id);
    std::vector<std::optional<ValueId>> result_gradients;
    for (uint32_t i = 0; i < node.result_count; ++i) {
      const Value& gradient = gradients_[node.result(i)];
      result_gradients.push_back(gradient ? std::optional(gradient.id) : std::nullopt);
    }
    const auto needed = std::make_unique<bool[]>(node.inputs.size());
    for (size_t i = 0; i < node.inputs.size(); ++i) needed[i] = requires_grad_[node.inputs[i]];
    const passes::LoopGradient gradient =
        passes::append_loop_gradient(joint_, id, {needed.get(), node.inputs.size()}, result_gradients);
    if (gradient.saving_loop == kNoNode) return;
    saving_loops_.emplace_back(id, gradient.saving_loop);
    for (size_t i = 0; i < node.inputs.size(); ++i)
      if (needed[i] && gradient.operands[i])
        gradients_[node.inputs[i]] = accumulate(gradients_[node.inputs[i]], emitter_.value(*gradient.operands[i]));
  }

  void differentiate(NodeId id) {
    const Node& node = program_.node(id);
    if (node.op == Op::loop) return differentiate_loop(id);
    std::vector<Value> inputs, results, result_gradients;
    for (ValueId input : node.inputs) inputs.push_back(emitter_.value(input));
    for (uint32_t i = 0; i < node.result_count; ++i) {
      results.push_back(emitter_.value(node.result(i)));
      result_gradients.push_back(gradients_[node.result(i)]);
    }
    if (std::ranges::none_of(result_gradients, [](const Value& g) { return bool(g); })) return;
    const auto needed = std::make_unique<bool[]>(inputs.size());
    for (size_t i = 0; i < inputs.size(); ++i) needed[i] = requires_grad_[node.inputs[i]];
    const std::span<const bool> needs(needed.get(), inputs.size());
    if (std::ranges::none_of(needs, std::identity{})) return;
    const auto rule = row(node.op).gradient;
    if (!rule) throw InternalError(fmt::format("autodiff: {} has no gradient rule", row(node.op).name));

    emitter_.set_location(node.location);
    GradientContext context(node.attributes, inputs, results, result_gradients, needs);
    rule(context);
    for (size_t i = 0; i < inputs.size(); ++i)
      if (needs[i])
        gradients_[node.inputs[i]] = accumulate(gradients_[node.inputs[i]], context.gradients()[i]);
  }

  const Graph& program_;
  std::vector<bool> requires_grad_;
  Graph joint_;  // the program with the same value ids, and what is written behind it
  GraphEmitter emitter_;
  std::vector<Value> gradients_;  // by value of the program
  std::vector<std::pair<NodeId, NodeId>> saving_loops_;
};

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
  ReverseMode reverse(program, input_requires_grad);
  FreshNames fresh(program);
  std::vector<int> gradient_outputs;
  const std::vector<bool> flows = values_with_gradient(program, input_requires_grad);
  for (size_t i = 0; i < program.outputs().size(); ++i) {
    if (!output_has_gradient[i] || !flows[program.outputs()[i]]) continue;
    reverse.seed(i, fresh(fmt::format("d_output{}", i)));
    gradient_outputs.push_back(static_cast<int>(i));
  }
  reverse.run();

  Differentiation result;
  std::vector<ValueId> outputs(program.outputs().begin(), program.outputs().end());
  for (size_t i = 0; i < program.inputs().size(); ++i) {
    const Value gradient = reverse.input_gradient(i);
    if (!gradient) continue;
    outputs.push_back(gradient.id);
    result.wanted.push_back(static_cast<int>(i));
  }
  const Graph joint = passes::dce(reverse.take_joint(std::move(outputs)));
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
