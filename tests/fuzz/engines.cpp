// The engines of the fuzzer: eager ops, compiled code, and the interpreter over differentiated graphs.
#include "tests/fuzz/engines.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <memory>

#include "calque/autograd.h"
#include "calque/compile.h"
#include "calque/ops.h"
#include "ir/graph/interpreter.h"
#include "passes/autodiff.h"
#include "passes/pipeline.h"
#include "runtime/kernels/isa.h"
#include "tests/fuzz/memory_model.h"
#include "tests/fuzz/run_program.h"
#include "tests/support/same_bits.h"

namespace calque::test {

namespace {

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
    if (program.exit == Branch::by_data && id == program.exit_node) ++segment;
    const Node& node = graph.node(id);
    for (ValueId input : node.inputs) {
      uses[input].resize(segment + 1);
      uses[input][segment] += row(node.op).kind == OpKind::composite ? 2 : 1;
    }
    const HostStep& step = program.steps[id];
    const bool is_read_before_turn = step.is_read || step.turn == Branch::by_data;
    if (is_read_before_turn && outcome.turned[id]) ++segment;
    for (uint32_t i = 0; i < node.result_count; ++i) made_in[node.result(i)] = segment;
    segment += (is_read_before_turn && !outcome.turned[id]) + step.write.has_value();
  }
  for (ValueId value = 0; value < graph.value_count(); ++value) {
    bool arrived = false;
    for (size_t i = 0; i < graph.outputs().size(); ++i)
      arrived |= graph.outputs()[i] == value && outcome.outputs[i];
    for (int s = static_cast<int>(uses[value].size()); s-- > 0;) {
      if (s == made_in[value] || uses[value][s] == 0) continue;
      if (arrived && uses[value][s] > 1) return false;
      arrived = true;
    }
  }
  return true;
}

// --- the interpreter

ValueId after_host_step(Graph& graph, ValueId value, bool is_no_grad, bool turned) {
  if (turned) value = graph.add(turn_op(graph.type(value).dtype), {&value, 1}).result();
  return is_no_grad ? graph.add(Op::detach, {&value, 1}).result() : value;
}

/// What a call without writes did, as one graph: nodes that ran without recording detach their results.
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
      values[node.result(i)] = after_host_step(graph, first + i, program.steps[id].is_no_grad, outcome.turned[id]);
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

bool has_writes(const RandomProgram& program) {
  return std::any_of(program.steps.begin(), program.steps.end(), [](const HostStep& step) { return step.write.has_value(); });
}

bool records_writes(const RandomProgram& program) {
  return std::any_of(program.steps.begin(), program.steps.end(), [](const HostStep& step) { return step.write && step.write->is_recorded; });
}

bool takes_gradients(const RandomProgram& program) {
  return std::any_of(program.steps.begin(), program.steps.end(), [](const HostStep& step) { return step.gradient_by.has_value(); });
}

/// How far apart gradients that are added in different orders may be, relative to the largest element: thousands of roundings,
/// of f32 wherever a part of the way is in f32.
double rounding_of(const Graph& graph) {
  for (ValueId value = 0; value < graph.value_count(); ++value)
    if (graph.type(value).dtype == DType::f32) return 1e-3;
  return 1e-11;
}

/// Whether two gradients are the same within rounding. What is infinite or NaN is one of the two in every order.
bool is_near(const Tensor& ours, const Tensor& expected, double rounding) {
  if (ours.dtype() != expected.dtype() || ours.shape() != expected.shape()) return false;
  const Literal x = literal(cast(ours.detach(), DType::f64)), y = literal(cast(expected.detach(), DType::f64));
  double largest = 0;
  for (double element : y.as<double>())
    if (std::isfinite(element)) largest = std::max(largest, std::fabs(element));
  for (int64_t i = 0; i < x.size(); ++i) {
    const double a = x.as<double>()[i], b = y.as<double>()[i];
    if (std::isfinite(b) ? !(std::fabs(a - b) <= rounding * (1 + largest)) : std::isfinite(a)) return false;
  }
  return true;
}

/// Whether a call is one segment, so that a gradient taken in it is an op.
bool is_one_segment(const RandomProgram& program) {
  return program.exit != Branch::by_data && std::none_of(program.steps.begin(), program.steps.end(), [](const HostStep& step) {
    return step.is_read || step.write || step.turn == Branch::by_data;
  });
}

/// In odd calls two inputs may be one tensor, whose gradient is a sum that graphs of separate inputs do not make.
bool has_aliases(const RandomProgram& program, int call) {
  for (size_t i = 0; i < program.same_as.size(); ++i)
    if (input_in_call(program, i, call) != i) return true;
  return false;
}

/// One program in one call.
class Comparison {
 public:
  Comparison(const RandomProgram& program, uint32_t seed, int call)
      : program_(program), seed_(seed), call_(call), inputs_(any_inputs(program, seed, call)),
        our_inputs_(any_inputs(program, seed, call)) {
    for (const Tensor& input : inputs_) literals_.push_back(literal(input));
  }

  template <class Compiled>
  std::string run(Compiled& compiled, FuzzCounts* counts) {
    bool refused = false, is_ours_refused = false;
    refused = throws([&] { eager_ = run_program(program_, inputs_, call_, true); });
    is_ours_refused = throws([&] { ours_ = compiled(program_, our_inputs_, call_); });
    if (refused != is_ours_refused) {
      // By a value inside of a region there is a gradient only while all that the region read is unchanged.
      const bool is_allowed = takes_gradients(program_) && has_writes(program_);
      if (is_allowed && counts) ++counts->other_refusals;
      return is_allowed ? "" : text(refused ? "eager threw, compiled did not" : "compiled threw, eager did not");
    }
    if (refused) {
      if (counts) ++counts->refusals;
      return "";
    }
    for (const auto& compare : {&Comparison::compiled_outputs, &Comparison::interpreter_outputs, &Comparison::gradients})
      if (std::string found = (this->*compare)(counts); !found.empty()) return found;
    return "";
  }

 private:
  std::string text(const std::string& what) const {
    return fmt::format("call {}: {}{}{}", call_, what, error_.empty() ? "" : ": ", error_);
  }

  template <class Function>
  bool throws(const Function& function) {
    try {
      function();
      return false;
    } catch (const UserError& error) {
      error_ = error.what();
      return true;
    }
  }

  std::string compiled_outputs(FuzzCounts*) {
    if (ours_.executed != eager_.executed) return text(fmt::format("compiled ran {} ops, eager {}", ours_.executed, eager_.executed));
    if (ours_.turned != eager_.turned) return text("compiled took another branch than eager");
    for (size_t i = 0; i < eager_.outputs.size(); ++i) {
      const Tensor &a = ours_.outputs[i], &b = eager_.outputs[i];
      if (static_cast<bool>(a) != static_cast<bool>(b)) return text(fmt::format("output {} is missing", i));
      if (!a) continue;
      if (!same_bits(a, b)) return text(fmt::format("output {} differs between compiled and eager", i));
      if (a.requires_grad() != b.requires_grad())
        return text(fmt::format("output {} differs in requires_grad between compiled and eager", i));
    }
    for (size_t i = 0; i < inputs_.size(); ++i)
      if (!same_bits(our_inputs_[i], inputs_[i])) return text(fmt::format("input {} differs afterwards between compiled and eager", i));
    for (size_t i = 0; i < inputs_.size(); ++i)
      if (our_inputs_[i].requires_grad() != inputs_[i].requires_grad())
        return text(fmt::format("input {} differs in requires_grad afterwards between compiled and eager", i));
    return taken_gradients();
  }

  std::string taken_gradients() const {
    if (ours_.gradients.size() != eager_.gradients.size()) return text("compiled took another number of gradients than eager");
    for (size_t i = 0; i < eager_.gradients.size(); ++i) {
      const Tensor &a = ours_.gradients[i], &b = eager_.gradients[i];
      if (a.requires_grad() != b.requires_grad()) return text(fmt::format("taken gradient {} differs in requires_grad", i));
      // A walk over several regions adds in another order than one over the tape alone.
      if (is_one_segment(program_) ? !same_bits(a, b) : !is_near(a, b, rounding_of(program_.graph)))
        return text(fmt::format("taken gradient {} differs between compiled and eager", i));
    }
    return "";
  }

  std::string interpreter_outputs(FuzzCounts*) {
    const MemoryOutcome expected = run_in_memory(program_, literals_, eager_, call_);
    for (size_t i = 0; i < eager_.outputs.size(); ++i)
      if (eager_.outputs[i] && !same_bits(eager_.outputs[i], tensor(expected.outputs[i])))
        return text(fmt::format("output {} differs between eager and the interpreter", i));
    for (size_t i = 0; i < inputs_.size(); ++i)
      if (!same_bits(inputs_[i], tensor(expected.inputs[i])))
        return text(fmt::format("input {} differs afterwards between eager and the interpreter", i));
    return "";
  }

  std::string gradients(FuzzCounts* counts) {
    const Seeds seeds = seeds_of(eager_, seed_, call_);
    Tensors expected, ours;
    const bool refused = throws([&] { expected = gradients_of(program_, inputs_, seeds); });
    const bool is_ours_refused = throws([&] { ours = gradients_of(program_, our_inputs_, seeds_of(ours_, seed_, call_)); });
    if (refused != is_ours_refused) {
      // After a write a region may do without a value that the tape watches; it never watches one that the tape does not.
      if (is_ours_refused) return text("compiled backward threw, eager did not");
      if (!has_writes(program_)) return text("eager backward threw, compiled did not");
      if (counts) ++counts->other_refusals;
      return "";
    }
    if (refused || expected.empty()) return "";
    if (!has_writes(program_) && !has_aliases(program_, call_))
      if (std::string found = interpreter_gradients(seeds, expected); !found.empty()) return found;
    // Two arguments that are one tensor are two slots of a region, whose gradients are added one after the other.
    const bool may_end_segments = takes_gradients(program_) && !is_one_segment(program_);
    const bool is_exact = has_one_order(program_, eager_) && !has_aliases(program_, call_) && !may_end_segments && !records_writes(program_);
    for (size_t i = 0; i < expected.size(); ++i)
      if (is_exact ? !same_bits(ours[i], expected[i]) : !is_near(ours[i], expected[i], rounding_of(program_.graph)))
        return text(fmt::format("gradient {} differs between compiled and eager{}", i, is_exact ? "" : " by more than rounding"));
    if (counts) (is_exact ? counts->gradients : counts->near_gradients) += expected.size();
    return "";
  }

  std::string interpreter_gradients(const Seeds& seeds, const Tensors& gradients) const {
    const Graph graph = graph_of_call(program_, eager_, call_);
    const std::vector<Literal> expected = interpreted_gradients(program_, graph, inputs_, eager_, seeds);
    for (size_t i = 0; i < gradients.size(); ++i)
      if (!same_bits(gradients[i], tensor(expected[i])))
        return text(fmt::format("gradient {} differs between eager and the interpreter", i));
    return "";
  }

  const RandomProgram& program_;
  uint32_t seed_;
  int call_;
  Tensors inputs_, our_inputs_;
  std::vector<Literal> literals_;  // of the inputs, before the call
  Outcome eager_, ours_;
  std::string error_;
};

/// More calls where they differ in more than their data, so that each way is recorded and taken again.
int calls_of(const RandomProgram& program) {
  bool varies = program.resized_from != 0 || program.exit != Branch::none;
  for (const HostStep& step : program.steps) varies |= step.turn != Branch::none;
  return varies ? 8 : 4;
}

std::string difference_or_throw(const RandomProgram& program, uint32_t seed, FuzzCounts* counts) {
  CompileOptions options;
  options.name = "fuzz";
  auto compiled = compile([](const RandomProgram& sized, const Tensors& inputs, int call) {
    return run_program(sized, inputs, call);
  }, options);
  const std::optional<RandomProgram> other_sizes = program.resized_from ? resized(program) : std::nullopt;
  const int calls = calls_of(program);
  for (int call = 0; call < calls; ++call) {
    const RandomProgram& sized = other_sizes && call >= calls / 2 ? *other_sizes : program;
    if (std::string text = Comparison(sized, seed, call).run(compiled, counts); !text.empty()) return text;
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

}  // namespace calque::test
