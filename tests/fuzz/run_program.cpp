// Running random programs on tensors.
#include "tests/fuzz/run_program.h"

#include <algorithm>
#include <bit>
#include <memory>

#include "calque/autograd.h"
#include "calque/ops.h"
#include "runtime/dispatch.h"

namespace calque::test {

namespace {

template <class T>
T any_element(std::mt19937& random) {
  if constexpr (std::is_integral_v<T>) return static_cast<T>(random() % (kLargestIndex + 1));
  if (random() % 16 == 0) return static_cast<T>(random() % 2 ? -0.0 : 0.0);
  return static_cast<T>(static_cast<double>(random()) / 4294967296.0 * 4 - 2);
}

/// Which calls leave output i out: what is held differs from call to call.
bool is_left_out(size_t i, int call) { return (static_cast<size_t>(call) + i) % 5 == 4; }

class Call {
 public:
  Call(const RandomProgram& program, int call, bool notes_sharing)
      : program_(program), graph_(program.graph), call_(call), notes_sharing_(notes_sharing) {
    note_last_uses();
    outcome_.turned.resize(graph_.nodes().size());
    if (notes_sharing) outcome_.is_shared.resize(graph_.value_count());
  }

  Outcome run(const Tensors& inputs) {
    values_.resize(graph_.value_count());
    for (size_t i = 0; i < inputs.size(); ++i) values_[graph_.inputs()[i]] = inputs[i];
    NodeId id = 0;
    for (; id < graph_.nodes().size() && !exits_before(id); ++id) run_node(id);
    outcome_.executed = id;
    for (size_t i = 0; i < graph_.outputs().size(); ++i)
      outcome_.outputs.push_back(is_left_out(i, call_) ? Tensor() : values_[graph_.outputs()[i]]);
    return std::move(outcome_);
  }

 private:
  /// Values are let go of as soon as a program could: what is alive matters to a plan.
  void note_last_uses() {
    last_use_.resize(graph_.value_count(), 0);
    const auto use = [&](ValueId value, NodeId id) { last_use_[value] = std::max(last_use_[value], id); };
    for (NodeId id = 0; id < graph_.nodes().size(); ++id) {
      for (ValueId input : graph_.node(id).inputs) use(input, id);
      for (uint32_t i = 0; i < graph_.node(id).result_count; ++i) use(graph_.node(id).result(i), id);
      if (const std::optional<Write>& write = program_.steps[id].write) use(write->target, id), use(write->source, id);
      if (const std::optional<ValueId> by = program_.steps[id].gradient_by) use(*by, id);
    }
    if (program_.exit == Branch::by_data) use(exit_value(), program_.exit_node);
    for (ValueId output : graph_.outputs()) last_use_[output] = kNoNode;
  }

  ValueId exit_value() const { return graph_.node(program_.exit_node - 1).result(); }

  /// Copies elements to the host.
  static bool says_yes(const Tensor& tensor) {
    const Literal read = literal(tensor);
    return read.size() > 0 && with_element_type(read.type.dtype, [&]<class T>(T) { return read.as<T>()[0] < T(1); });
  }

  bool exits_before(NodeId id) const {
    if (program_.exit == Branch::none || id != program_.exit_node) return false;
    return program_.exit == Branch::by_counter ? call_ % 8 == 3 || call_ % 8 == 6 : says_yes(values_[exit_value()]);
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
    if (notes_sharing_ && !operands.empty())
      for (uint32_t i = 0; i < node.result_count; ++i)
        outcome_.is_shared[node.result(i)] = results[i].impl()->storage.get() == operands[0].impl()->storage.get();
    if (step.turn == Branch::by_data ? says_yes(results[0]) : step.turn == Branch::by_counter && call_ % 2 == 1) {
      outcome_.turned[id] = true;
      for (Tensor& result : results) result = run_op(turn_op(result.dtype()), {&result, 1}, {})[0];
    }
    for (uint32_t i = 0; i < node.result_count; ++i) values_[node.result(i)] = std::move(results[i]);
    if (step.gradient_by) take_gradient(values_[node.result()], values_[*step.gradient_by], id % 2 == 1);
    if (step.write) write(*step.write);
    for (ValueId value = 0; value < values_.size(); ++value)
      if (values_[value] && last_use_[value] == id) values_[value] = Tensor();
  }

  void take_gradient(const Tensor& of, const Tensor& by, bool create_graph) {
    if (!of.requires_grad() || !by.requires_grad()) return;
    const Tensor weight = full(of.shape(), 0.5, of.dtype());
    outcome_.gradients.push_back(grad({&of, 1}, {&by, 1}, {create_graph, {&weight, 1}})[0]);
  }
  void write(const Write& write) {
    std::optional<NoGradGuard> guard;
    if (!write.is_recorded) guard.emplace();
    values_[write.target].assign_(values_[write.source]);
  }

  const RandomProgram& program_;
  const Graph& graph_;
  int call_;
  bool notes_sharing_;
  std::vector<NodeId> last_use_;  // by value; kNoNode: an output
  Tensors values_, kept_;
  Outcome outcome_;
};

}  // namespace

Tensor any_tensor(const Type& type, std::mt19937& random, bool is_transposed) {
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

size_t input_in_call(const RandomProgram& program, size_t i, int call) {
  while (call % 2 == 1 && program.same_as[i] >= 0) i = program.same_as[i];
  return i;
}

/// Elements depend on the name of an input, not on its place: shrinking a program leaves those that stay as they are.
Tensors any_inputs(const RandomProgram& program, uint32_t seed, int call) {
  Tensors inputs;
  for (size_t i = 0; i < program.graph.inputs().size(); ++i) {
    if (const size_t same = input_in_call(program, i, call); same != i) {
      inputs.push_back(inputs[same]);
      continue;
    }
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

Outcome run_program(const RandomProgram& program, const Tensors& inputs, int call, bool notes_sharing) {
  return Call(program, call, notes_sharing).run(inputs);
}

Attributes attributes_in_call(const RandomProgram& program, NodeId id, int call) {
  Attributes attributes = program.graph.node(id).attributes;
  if (program.steps[id].varies) attributes.set(0, std::bit_cast<int64_t>(attributes.number(0) + 0.5 * call));
  return attributes;
}

Op turn_op(DType dtype) { return dtype == DType::boolean ? Op::logical_not : Op::neg; }

}  // namespace calque::test
