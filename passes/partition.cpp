// The choice of saved values: a network in which cutting through a value means keeping it from forward to
// backward.
#include "passes/partition.h"

#include <algorithm>

#include "ir/op/scalar/program.h"
#include "passes/minimum_cut.h"

namespace calque::passes {

namespace {

constexpr size_t kLongFormula = 8;  // nodes of a scalar program from which on its result is saved

/// A set of gradients of outputs: bit i is that of the i-th.
class GradientSet {
 public:
  GradientSet() = default;
  explicit GradientSet(size_t count) : words_((count + 63) / 64) {}
  void add(size_t i) { words_[i / 64] |= uint64_t{1} << i % 64; }
  void add(const GradientSet& other) {
    for (size_t i = 0; i < words_.size(); ++i) words_[i] |= other.words_[i];
  }
  bool contains(const GradientSet& other) const {
    for (size_t i = 0; i < words_.size(); ++i)
      if (other.words_[i] & ~words_[i]) return false;
    return true;
  }

 private:
  std::vector<uint64_t> words_;
};

/// What walks over the joint graph tell of each node and value.
struct Roles {
  std::vector<bool> forward;      // node: an output of the program depends on it
  std::vector<ValueId> memory;    // value: the value that it is a view of, or itself
  std::vector<bool> on_gradient;  // value: depends on the gradient of an output
  std::vector<bool> needed;       // value that does not depend on gradients, read by a node that does
  std::vector<bool> is_output;    // value: of the program
  std::vector<bool> of_user;  // memory: of an input or output of the program, so it may be written any time
  std::vector<bool> read_by_rule;  // memory: a gradient rule reads it, so a tape would notice such a write
  std::vector<GradientSet> depends_on;    // value: which gradients of outputs it is computed from
  std::vector<GradientSet> asked_for_by;  // value that does not: without all of these gradients nobody reads it
  std::vector<GradientSet> noticed_with;  // memory: with any of these a gradient rule that reads it runs
};

void mark_forward(const JointGraph& joint, Roles& roles) {
  const Graph& graph = joint.graph;
  const auto mark = [&](ValueId value) {
    if (!graph.is_input(value)) roles.forward[graph.producer(value)] = true;
  };
  for (ValueId output : graph.outputs().first(joint.program_outputs)) {
    roles.is_output[output] = true;
    mark(output);
  }
  for (size_t id = graph.nodes().size(); id-- > 0;)
    if (roles.forward[id]) std::ranges::for_each(graph.node(id).inputs, mark);
}

bool is_view(const Graph& graph, ValueId value) {
  return !graph.is_input(value) && row(graph.node(graph.producer(value)).op).kind == OpKind::view;
}

void find_memory(const JointGraph& joint, Roles& roles) {
  const Graph& graph = joint.graph;
  for (ValueId value = 0; value < graph.value_count(); ++value) {
    roles.memory.push_back(is_view(graph, value) ? roles.memory[graph.node(graph.producer(value)).inputs[0]] : value);
    if (graph.is_input(value) || roles.is_output[value]) roles.of_user[roles.memory[value]] = true;
  }
}

void find_dependences(const JointGraph& joint, Roles& roles) {
  const Graph& graph = joint.graph;
  const size_t gradients = graph.inputs().size() - joint.program_inputs;
  roles.depends_on.assign(graph.value_count(), GradientSet(gradients));
  for (size_t i = 0; i < gradients; ++i) roles.depends_on[graph.inputs()[joint.program_inputs + i]].add(i);
  for (const Node& node : graph.nodes())
    for (uint32_t i = 0; i < node.result_count; ++i)
      for (ValueId input : node.inputs) roles.depends_on[node.result(i)].add(roles.depends_on[input]);
}

/// From the last node to the first: whoever reads a value hands on what it is asked for by itself.
void find_readers(const JointGraph& joint, Roles& roles) {
  const Graph& graph = joint.graph;
  const size_t gradients = graph.inputs().size() - joint.program_inputs;
  roles.asked_for_by = roles.noticed_with = std::vector(graph.value_count(), GradientSet(gradients));
  for (ValueId output : graph.outputs().subspan(joint.program_outputs))
    if (!roles.on_gradient[output])
      for (size_t i = 0; i < gradients; ++i) {
        roles.asked_for_by[output].add(i);
        roles.noticed_with[roles.memory[output]].add(i);
      }
  for (size_t id = graph.nodes().size(); id-- > 0;) {
    const Node& node = graph.node(id);
    GradientSet readers(gradients);
    for (uint32_t i = 0; i < node.result_count; ++i) {
      const ValueId result = node.result(i);
      readers.add((roles.on_gradient[result] ? roles.depends_on : roles.asked_for_by)[result]);
    }
    for (ValueId input : node.inputs) {
      roles.asked_for_by[input].add(readers);
      if (!roles.forward[id]) roles.noticed_with[roles.memory[input]].add(readers);
    }
  }
}

/// Whether a tape would not notice that an operand of the node was written, with gradients for which the result is read.
bool reads_unnoticed(const Roles& roles, const Node& node) {
  return row(node.op).kind != OpKind::view && std::ranges::any_of(node.inputs, [&](ValueId input) {
           const ValueId memory = roles.memory[input];
           return roles.of_user[memory] && !roles.noticed_with[memory].contains(roles.asked_for_by[node.result()]);
         });
}

Roles find_roles(const JointGraph& joint) {
  const Graph& graph = joint.graph;
  const std::vector<bool> no_value(graph.value_count());
  Roles roles{std::vector<bool>(graph.nodes().size()), {}, no_value, no_value, no_value, no_value, no_value, {}, {}, {}};
  mark_forward(joint, roles);
  find_memory(joint, roles);
  for (ValueId input : graph.inputs().subspan(joint.program_inputs)) roles.on_gradient[input] = true;
  for (NodeId id = 0; id < graph.nodes().size(); ++id) {
    const Node& node = graph.node(id);
    const bool depends =
        std::ranges::any_of(node.inputs, [&](ValueId input) { return roles.on_gradient[input]; });
    for (uint32_t i = 0; i < node.result_count; ++i) roles.on_gradient[node.result(i)] = depends;
    for (ValueId input : node.inputs) {
      if (!roles.forward[id]) roles.read_by_rule[roles.memory[input]] = true;
      if (depends && !roles.on_gradient[input]) roles.needed[input] = true;
    }
  }
  for (ValueId output : graph.outputs().subspan(joint.program_outputs))
    if (!roles.on_gradient[output]) roles.needed[output] = roles.read_by_rule[roles.memory[output]] = true;
  find_dependences(joint, roles);
  find_readers(joint, roles);
  return roles;
}

/// What it costs to keep a value for the backward. Bytes count first; among equals, a value that the forward
/// computes anyway and that owns its memory is taken before one that it does not or that is a view.
int64_t cost_of_keeping(const Graph& graph, const Roles& roles, ValueId value) {
  constexpr int64_t kPerByte = 8, kView = 2, kOnlyBackward = 1;
  if (roles.of_user[roles.memory[value]]) {
    if (!roles.read_by_rule[roles.memory[value]]) return FlowNetwork::kInfinite;
    return graph.is_input(value) || roles.is_output[value] ? 0 : kView;
  }
  const Type& type = graph.type(value);
  const NodeId producer = graph.producer(value);
  const int64_t bytes = type.shape.element_count() * static_cast<int64_t>(size_of(type.dtype));
  return bytes * kPerByte + (row(graph.node(producer).op).kind == OpKind::view ? kView : 0) +
         (roles.forward[producer] ? 0 : kOnlyBackward);
}

/// The values to keep: vertices 2v and 2v + 1 are a value before and behind its cut.
std::vector<bool> values_to_keep(const JointGraph& joint, const Roles& roles) {
  const Graph& graph = joint.graph;
  const int values = static_cast<int>(graph.value_count()), source = 2 * values, sink = source + 1;
  FlowNetwork network(2 * values + 2);
  for (int value = 0; value < values; ++value) {
    if (roles.on_gradient[value]) continue;
    network.add_arc(2 * value, 2 * value + 1, cost_of_keeping(graph, roles, value));
    if (roles.needed[value]) network.add_arc(2 * value + 1, sink, FlowNetwork::kInfinite);
    if (graph.is_input(value)) {
      network.add_arc(source, 2 * value, FlowNetwork::kInfinite);
      continue;
    }
    const Node& node = graph.node(graph.producer(value));
    if (roles.forward[graph.producer(value)] && (!is_cheap(graph, node) || reads_unnoticed(roles, node))) {
      network.add_arc(source, 2 * value, FlowNetwork::kInfinite);
      continue;
    }
    for (ValueId input : node.inputs)
      network.add_arc(2 * static_cast<int>(input) + 1, 2 * value, FlowNetwork::kInfinite);
  }
  const std::vector<bool> sink_side = network.sink_side(source, sink);
  std::vector<bool> keep(values);
  for (int value = 0; value < values; ++value)
    keep[value] = !sink_side[2 * value] && sink_side[2 * value + 1];
  return keep;
}

}  // namespace

ValueId memory_of(const Graph& graph, ValueId value) {
  while (is_view(graph, value)) value = graph.node(graph.producer(value)).inputs[0];
  return value;
}

bool is_cheap(const Graph& graph, const Node& node) {
  const OpKind kind = row(node.op).kind;
  if (kind == OpKind::view || kind == OpKind::creation) return true;
  if (kind != OpKind::elementwise) return false;
  const DType operand = graph.type(node.inputs.back()).dtype;
  const ScalarProgram& program = scalar_program(node.op, operand, graph.type(node.result()).dtype);
  return program.nodes.size() <= kLongFormula &&
         std::ranges::none_of(program.nodes, [](const ScalarNode& scalar) {
           return scalar.primitive == Primitive::div || scalar.primitive == Primitive::square_root;
         });
}

Partition partition(const JointGraph& joint) {
  const Graph& graph = joint.graph;
  const Roles roles = find_roles(joint);
  const std::vector<bool> keep = values_to_keep(joint, roles);

  Partition result;
  result.in_backward.resize(graph.nodes().size());
  std::vector<bool> read(graph.value_count());
  for (ValueId output : graph.outputs().subspan(joint.program_outputs)) read[output] = true;
  for (size_t id = graph.nodes().size(); id-- > 0;) {
    const Node& node = graph.node(id);
    for (uint32_t i = 0; i < node.result_count; ++i)
      if (read[node.result(i)] && !keep[node.result(i)]) result.in_backward[id] = true;
    if (result.in_backward[id])
      for (ValueId input : node.inputs) read[input] = true;
  }
  for (size_t i = 0; i < joint.program_inputs; ++i)
    if (read[graph.inputs()[i]]) result.inputs.push_back(graph.inputs()[i]);
  for (ValueId value = 0; value < graph.value_count(); ++value)
    if (read[value] && keep[value] && !graph.is_input(value)) {
      result.saved.push_back(value);
      result.saved_is_apart.push_back(!roles.of_user[roles.memory[value]]);
    }
  return result;
}

}  // namespace calque::passes
