// The engines of the fuzzer: eager ops, compiled code, and the interpreter over differentiated graphs.
#include "tests/fuzz/engines.h"

#include <fmt/format.h>

#include <bit>
#include <memory>
#include <optional>

#include "calque/autograd.h"
#include "calque/compile.h"
#include "calque/ops.h"
#include "ir/graph/interpreter.h"
#include "passes/autodiff.h"
#include "passes/pipeline.h"
#include "runtime/dispatch.h"
#include "runtime/kernels/isa.h"
#include "tests/support/same_bits.h"

namespace calque::test {

namespace {

constexpr int kCalls = 4;

using Tensors = std::vector<Tensor>;

// --- data

template <class T>
T any_element(std::mt19937& random) {
  if constexpr (std::is_integral_v<T>) return static_cast<T>(random() % (kLargestIndex + 1));
  if (random() % 16 == 0) return static_cast<T>(random() % 2 ? -0.0 : 0.0);
  return static_cast<T>(static_cast<double>(random()) / 4294967296.0 * 4 - 2);
}

Tensor any_tensor(const Type& type, std::mt19937& random, bool is_transposed = false) {
  return with_element_type(type.dtype, [&]<class T>(T) {
    const auto elements = std::make_unique<T[]>(type.shape.element_count());
    for (int64_t i = 0; i < type.shape.element_count(); ++i) elements[i] = any_element<T>(random);
    const std::span<const T> span(elements.get(), type.shape.element_count());
    if (!is_transposed) return from_span(span, type.shape);
    Shape reversed;
    std::vector<int64_t> axes;
    for (int axis = type.shape.rank() - 1; axis >= 0; --axis) {
      reversed.push_back(type.shape[axis]);
      axes.push_back(axis);
    }
    return permute(from_span(span, reversed), axes);
  });
}

/// Elements depend on the name of an input, not on its place: shrinking a program leaves those that stay as they are.
Tensors any_inputs(const RandomProgram& program, uint32_t seed, int call) {
  Tensors inputs;
  for (size_t i = 0; i < program.graph.inputs().size(); ++i) {
    uint32_t mixed = seed * 16 + static_cast<uint32_t>(call);
    for (char c : program.graph.input_name(i)) mixed = mixed * 31 + static_cast<uint32_t>(c);
    std::mt19937 random(mixed);
    inputs.push_back(any_tensor(program.graph.type(program.graph.inputs()[i]), random, program.is_transposed[i]));
    if (program.requires_grad[i]) inputs.back().set_requires_grad();
  }
  return inputs;
}

Literal literal(const Tensor& tensor) {
  Literal result(Type{tensor.dtype(), tensor.shape()});
  with_element_type(tensor.dtype(), [&]<class T>(T) {
    const std::vector<T> elements = tensor.to_vector<T>();
    for (size_t i = 0; i < elements.size(); ++i) result.as<T>()[i] = elements[i];
  });
  return result;
}

Tensor tensor(const Literal& literal) {
  return with_element_type(literal.type.dtype, [&]<class T>(T) { return from_span(literal.as<T>(), literal.type.shape); });
}

// --- running op by op: eagerly, or under compile()

Attributes attributes_in_call(const RandomProgram& program, NodeId id, int call) {
  Attributes attributes = program.graph.node(id).attributes;
  if (program.steps[id].varies) attributes.set(0, std::bit_cast<int64_t>(attributes.number(0) + 0.5 * call));
  return attributes;
}

/// Which calls leave output i out: what is held differs from call to call.
bool is_left_out(size_t i, int call) { return (static_cast<size_t>(call) + i) % 5 == 4; }

struct Outcome {
  Tensors outputs;             // an empty handle for one that is left out
  NodeId executed = 0;
};

class Call {
 public:
  Call(const RandomProgram& program, int call) : program_(program), graph_(program.graph), call_(call) {
    last_use_.resize(graph_.value_count(), 0);
    for (NodeId id = 0; id < graph_.nodes().size(); ++id) {
      for (ValueId input : graph_.node(id).inputs) last_use_[input] = id;
      for (uint32_t i = 0; i < graph_.node(id).result_count; ++i) last_use_[graph_.node(id).result(i)] = id;
    }
    if (program.exit == Exit::by_data)
      last_use_[exit_value()] = std::max(last_use_[exit_value()], program.exit_node);
    for (ValueId output : graph_.outputs()) last_use_[output] = kNoNode;
  }

  Outcome run(const Tensors& inputs) {
    values_.resize(graph_.value_count());
    for (size_t i = 0; i < inputs.size(); ++i) values_[graph_.inputs()[i]] = inputs[i];
    NodeId id = 0;
    for (; id < graph_.nodes().size() && !exits_before(id); ++id) run_node(id);
    Outcome outcome;
    outcome.executed = id;
    for (size_t i = 0; i < graph_.outputs().size(); ++i)
      outcome.outputs.push_back(is_left_out(i, call_) ? Tensor() : values_[graph_.outputs()[i]]);
    return outcome;
  }

 private:
  ValueId exit_value() const { return graph_.node(program_.exit_node - 1).result(); }

  bool exits_before(NodeId id) const {
    if (program_.exit == Exit::never || id != program_.exit_node) return false;
    if (program_.exit == Exit::by_counter) return call_ % 3 == 2;
    const Literal read = literal(values_[exit_value()]);
    return read.size() > 0 && with_element_type(read.type.dtype, [&]<class T>(T) { return read.as<T>()[0] < T(1); });
  }

  void run_node(NodeId id) {
    const Node& node = graph_.node(id);
    const HostStep& step = program_.steps[id];
    Tensors operands;
    for (ValueId input : node.inputs) operands.push_back(values_[input]);
    std::optional<NoGradGuard> guard;
    if (step.is_no_grad) guard.emplace();
    Tensors results = run_op(node.op, operands, attributes_in_call(program_, id, call_));
    if (step.is_kept) kept_.insert(kept_.end(), results.begin(), results.end());
    if (step.is_read) literal(results[0]);
    for (uint32_t i = 0; i < node.result_count; ++i) values_[node.result(i)] = std::move(results[i]);
    for (ValueId input : node.inputs)
      if (last_use_[input] == id) values_[input] = Tensor();
    for (uint32_t i = 0; i < node.result_count; ++i)
      if (last_use_[node.result(i)] == id) values_[node.result(i)] = Tensor();
  }

  const RandomProgram& program_;
  const Graph& graph_;
  int call_;
  std::vector<NodeId> last_use_;  // by value; kNoNode: an output
  Tensors values_, kept_;
};

// --- gradients

struct Seeds {
  Tensors outputs, gradients;
  std::vector<size_t> positions;  // among the outputs of the program
};

/// A gradient for each output that asks for one, the same for every engine.
Seeds seeds_of(const Outcome& outcome, uint32_t seed, int call) {
  std::mt19937 random(seed * 16 + 8 + static_cast<uint32_t>(call));
  Seeds seeds;
  for (size_t i = 0; i < outcome.outputs.size(); ++i) {
    if (!outcome.outputs[i] || !outcome.outputs[i].requires_grad()) continue;
    seeds.outputs.push_back(outcome.outputs[i]);
    seeds.gradients.push_back(any_tensor({outcome.outputs[i].dtype(), outcome.outputs[i].shape()}, random));
    seeds.positions.push_back(i);
  }
  return seeds;
}

Tensors gradients_of(const RandomProgram& program, const Tensors& inputs, const Seeds& seeds) {
  Tensors wanted;
  for (size_t i = 0; i < inputs.size(); ++i)
    if (program.requires_grad[i]) wanted.push_back(inputs[i]);
  if (wanted.empty() || seeds.outputs.empty()) return {};
  return grad(seeds.outputs, wanted, {.output_gradients = seeds.gradients});
}

/// Whether a compiled call adds gradients in the order of the eager tape. A region adds what its ops give for one tensor
/// before it is added to what came from elsewhere, so a value that several regions use has one order only if all but the
/// first to arrive give one gradient each.
bool has_one_order(const RandomProgram& program, const Outcome& outcome) {
  const Graph& graph = program.graph;
  std::vector<std::vector<int>> uses(graph.value_count());  // by segment, the last one first to arrive
  std::vector<int> made_in(graph.value_count(), -1);
  int segment = 0;
  for (NodeId id = 0; id < outcome.executed; ++id) {
    if (program.exit == Exit::by_data && id == program.exit_node) ++segment;
    const Node& node = graph.node(id);
    for (uint32_t i = 0; i < node.result_count; ++i) made_in[node.result(i)] = segment;
    for (ValueId input : node.inputs) {
      uses[input].resize(segment + 1);
      uses[input][segment] += row(node.op).kind == OpKind::composite ? 2 : 1;
    }
    segment += program.steps[id].is_read;
  }
  for (ValueId value = 0; value < graph.value_count(); ++value) {
    bool arrived = false;
    for (size_t i = 0; i < graph.outputs().size(); ++i) arrived |= graph.outputs()[i] == value && outcome.outputs[i];
    for (int s = static_cast<int>(uses[value].size()); s-- > 0;) {
      if (s == made_in[value] || uses[value][s] == 0) continue;
      if (arrived && uses[value][s] > 1) return false;
      arrived = true;
    }
  }
  return true;
}

// --- the interpreter

/// What the call did, as one graph: nodes that ran without recording detach their results.
Graph graph_of_call(const RandomProgram& program, const Outcome& outcome, int call) {
  Graph graph("call");
  std::vector<ValueId> values(program.graph.value_count());
  for (ValueId input : program.graph.inputs()) values[input] = graph.add_input(program.graph.type(input));
  for (NodeId id = 0; id < outcome.executed; ++id) {
    const Node& node = program.graph.node(id);
    std::vector<ValueId> inputs;
    for (ValueId input : node.inputs) inputs.push_back(values[input]);
    const ValueId first = graph.add(node.op, inputs, attributes_in_call(program, id, call)).first_result;
    for (uint32_t i = 0; i < node.result_count; ++i) {
      const ValueId result[] = {first + i};
      values[node.result(i)] =
          program.steps[id].is_no_grad ? graph.add(Op::detach, result).result() : result[0];
    }
  }
  std::vector<ValueId> outputs;
  for (size_t i = 0; i < outcome.outputs.size(); ++i)
    if (outcome.outputs[i]) outputs.push_back(values[program.graph.outputs()[i]]);
  graph.set_outputs(std::move(outputs));
  return graph;
}

/// std::vector<bool> is no span of bool.
struct Flags {
  explicit Flags(size_t count) : size(count), data(std::make_unique<bool[]>(count)) {}
  size_t size;
  std::unique_ptr<bool[]> data;
  std::span<const bool> span() const { return {data.get(), size}; }
};

/// The gradients of the inputs that require one, by the derivative graphs. `seeds` are those of the eager call.
std::vector<Literal> interpreted_gradients(const RandomProgram& program, const Graph& graph, const Tensors& inputs,
                                           const Outcome& outcome, const Seeds& seeds) {
  Flags input_flags(inputs.size()), output_flags(graph.outputs().size());
  std::vector<Literal> literals, gradients(graph.outputs().size()), sources;
  for (size_t i = 0; i < inputs.size(); ++i) {
    input_flags.data[i] = program.requires_grad[i];
    literals.push_back(literal(inputs[i]));
  }
  size_t present = 0;
  for (size_t i = 0, next = 0; i < outcome.outputs.size(); ++i) {
    if (!outcome.outputs[i]) continue;
    const bool seeded = next < seeds.positions.size() && seeds.positions[next] == i;
    output_flags.data[present] = seeded;
    if (seeded) gradients[present] = literal(seeds.gradients[next++]);
    ++present;
  }
  const Differentiation derivative = differentiate(prepare(graph), input_flags.span(), output_flags.span());
  const std::vector<Literal> forward = interpret(derivative.forward, literals);
  for (const Differentiation::Source& source : derivative.sources)
    sources.push_back(source.kind == Differentiation::SourceKind::input   ? literals[source.index]
                      : source.kind == Differentiation::SourceKind::saved ? forward[present + source.index]
                                                                          : gradients[source.index]);
  const std::vector<Literal> given = interpret(derivative.backward, sources);
  std::vector<Literal> result;
  for (size_t i = 0; i < inputs.size(); ++i) {
    if (!program.requires_grad[i]) continue;
    result.emplace_back(literals[i].type);  // zeros, when the outputs do not depend on it
    for (size_t k = 0; k < given.size(); ++k)
      if (derivative.wanted[k] == static_cast<int>(i)) result.back() = given[k];
  }
  return result;
}

// --- comparing

std::string interpreter_difference(const RandomProgram& program, const Tensors& inputs, const Outcome& eager,
                                   const Seeds& seeds, const Tensors& gradients, int call) {
  const Graph graph = graph_of_call(program, eager, call);
  std::vector<Literal> literals;
  for (const Tensor& input : inputs) literals.push_back(literal(input));
  const std::vector<Literal> outputs = interpret(graph, literals);
  size_t next = 0;
  for (size_t i = 0; i < eager.outputs.size(); ++i)
    if (eager.outputs[i] && !same_bits(eager.outputs[i], tensor(outputs[next++])))
      return fmt::format("call {}: output {} differs between eager and the interpreter", call, i);
  if (gradients.empty()) return "";
  const std::vector<Literal> expected = interpreted_gradients(program, graph, inputs, eager, seeds);
  for (size_t i = 0; i < gradients.size(); ++i)
    if (!same_bits(gradients[i], tensor(expected[i])))
      return fmt::format("call {}: gradient {} differs between eager and the interpreter", call, i);
  return "";
}

std::string compiled_difference(const Outcome& ours, const Outcome& eager, int call) {
  if (ours.executed != eager.executed)
    return fmt::format("call {}: compiled ran {} ops, eager {}", call, ours.executed, eager.executed);
  for (size_t i = 0; i < eager.outputs.size(); ++i) {
    const Tensor &a = ours.outputs[i], &b = eager.outputs[i];
    if (static_cast<bool>(a) != static_cast<bool>(b)) return fmt::format("call {}: output {} is missing", call, i);
    if (!a) continue;
    if (!same_bits(a, b)) return fmt::format("call {}: output {} differs between compiled and eager", call, i);
    if (a.requires_grad() != b.requires_grad())
      return fmt::format("call {}: output {} differs in requires_grad between compiled and eager", call, i);
  }
  return "";
}

std::string difference_or_throw(const RandomProgram& program, uint32_t seed, FuzzCounts* counts) {
  const auto function = [&](const Tensors& inputs, int call) { return Call(program, call).run(inputs); };
  CompileOptions options;
  options.name = "fuzz";
  auto compiled = compile(function, options);
  for (int call = 0; call < kCalls; ++call) {
    const Tensors inputs = any_inputs(program, seed, call), our_inputs = any_inputs(program, seed, call);
    const Outcome eager = function(inputs, call), ours = compiled(our_inputs, call);
    if (std::string text = compiled_difference(ours, eager, call); !text.empty()) return text;
    const Seeds seeds = seeds_of(eager, seed, call);
    const Tensors gradients = gradients_of(program, inputs, seeds);
    if (std::string text = interpreter_difference(program, inputs, eager, seeds, gradients, call); !text.empty())
      return text;
    const Tensors our_gradients = gradients_of(program, our_inputs, seeds_of(ours, seed, call));
    if (gradients.empty() || !has_one_order(program, eager)) continue;
    for (size_t i = 0; i < gradients.size(); ++i)
      if (!same_bits(our_gradients[i], gradients[i]))
        return fmt::format("call {}: gradient {} differs between compiled and eager", call, i);
    if (counts) counts->gradients += gradients.size();
  }
  const bool compiles = kernels::isa_level() != kernels::IsaLevel::baseline;
  if (compiles && compiled.explain().find(" runs eagerly: ") != std::string::npos)
    return "a segment was not compiled: " + compiled.explain();
  if (counts) counts->plan_runs += compiled.stats().plan_runs;
  return "";
}

}  // namespace

std::string difference(const RandomProgram& program, uint32_t seed, FuzzCounts* counts) {
  try {
    return difference_or_throw(program, seed, counts);
  } catch (const std::exception& error) {
    return std::string("an exception: ") + error.what();
  }
}

std::vector<RandomProgram> without_host_steps(const RandomProgram& program) {
  std::vector<RandomProgram> candidates;
  const auto add = [&](auto change) {
    candidates.push_back(program);
    change(candidates.back());
  };
  if (program.exit != Exit::never) add([](RandomProgram& p) { p.exit = Exit::never; });
  for (size_t i = 0; i < program.steps.size(); ++i)
    for (bool HostStep::*flag : {&HostStep::is_read, &HostStep::is_no_grad, &HostStep::is_kept, &HostStep::varies})
      if (program.steps[i].*flag) add([&](RandomProgram& p) { p.steps[i].*flag = false; });
  for (size_t i = 0; i < program.requires_grad.size(); ++i) {
    if (program.requires_grad[i]) add([&](RandomProgram& p) { p.requires_grad[i] = false; });
    if (program.is_transposed[i]) add([&](RandomProgram& p) { p.is_transposed[i] = false; });
  }
  return candidates;
}

}  // namespace calque::test
