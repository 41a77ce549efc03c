// Replays graphs into an emitter that computes at once.
#include "ir/graph/interpreter.h"

#include <fmt/format.h>

#include "ir/graph/interpret/evaluation.h"

namespace calque {

// The meaning of each structural row; one that is missing is a link error.
#define OP0(name, ...) void interpret_##name(const Evaluation&);
#define OP1 OP0
#define OP2 OP0
#define OPN OP0
#define OPS OP0
#define COMPOSITE1(...)
#define COMPOSITE2(...)
#define REDUCTION OP0
#define IR_ONLY OP0
#include "ir/op/structural.def"

void interpret_fusion(const Evaluation& evaluation) {
  if (!evaluation.body) throw InternalError("interpreter: a fusion has no block");
  std::vector<Literal> inputs;
  for (const Literal* input : evaluation.inputs) inputs.push_back(*input);
  std::vector<Literal> results = interpret(*evaluation.body, inputs);
  std::ranges::move(results, evaluation.results.begin());
}

void interpret_grad(const Evaluation&) {
  throw UserError("interpreter: a grad stands for what the pass expand_gradients writes; run that first");
}

void interpret_loop(const Evaluation& evaluation) {
  if (!evaluation.body) throw InternalError("interpreter: a loop has no block");
  const LoopForm form = LoopForm::of(evaluation.attributes);
  std::vector<Literal> inputs;
  for (const Literal* input : evaluation.inputs) inputs.push_back(*input);
  for (int64_t i = 0; i < form.length; ++i) {
    const int64_t step = form.reverse ? form.length - 1 - i : i;
    for (size_t s = form.carried; s < form.carried + form.scanned; ++s) {
      Literal element(evaluation.body->type(evaluation.body->inputs()[s]));
      std::copy_n(evaluation.inputs[s]->bytes.begin() + static_cast<std::ptrdiff_t>(step * element.bytes.size()),
                  element.bytes.size(), element.bytes.begin());
      inputs[s] = std::move(element);
    }
    std::vector<Literal> results = interpret(*evaluation.body, inputs);
    for (size_t r = form.carried; r < results.size(); ++r)
      std::ranges::copy(results[r].bytes, evaluation.results[r].bytes.begin() +
                                              static_cast<std::ptrdiff_t>(step * results[r].bytes.size()));
    std::move(results.begin(), results.begin() + static_cast<std::ptrdiff_t>(form.carried), inputs.begin());
  }
  std::move(inputs.begin(), inputs.begin() + static_cast<std::ptrdiff_t>(form.carried), evaluation.results.begin());
}

namespace {

using Meaning = void (*)(const Evaluation&);

/// In the order of the op table; null for composites, whose bodies are run instead.
constexpr Meaning kMeanings[] = {
#define UNARY(...) interpret_elementwise,
#define BINARY UNARY
#define SELECT UNARY
#include "ir/op/elementwise.def"
#define OP0(name, ...) interpret_##name,
#define OP1 OP0
#define OP2 OP0
#define OPN OP0
#define OPS OP0
#define COMPOSITE1(...) nullptr,
#define COMPOSITE2 COMPOSITE1
#define REDUCTION OP0
#define IR_ONLY OP0
#include "ir/op/structural.def"
};
static_assert(std::size(kMeanings) == kOpCount);

}  // namespace

Value InterpreterEmitter::add(Literal literal) {
  literals_.push_back(std::move(literal));
  return {this, static_cast<uint32_t>(literals_.size() - 1)};
}

/// Makes the results, lets the op fill them, and adds them.
static std::vector<Value> evaluate(InterpreterEmitter& emitter, Op op, std::span<const Value> inputs,
                                   const Attributes& attributes, std::span<const Type> types,
                                   const Graph* body) {
  std::vector<const Literal*> operands;
  for (const Value& input : inputs) operands.push_back(&emitter.literal(input));
  std::vector<Literal> results(types.begin(), types.end());
  kMeanings[static_cast<int>(op)]({op, attributes, operands, results, body});
  std::vector<Value> values;
  for (Literal& result : results) values.push_back(emitter.add(std::move(result)));
  return values;
}

std::vector<Value> InterpreterEmitter::emit(Op op, std::span<const Value> inputs, Attributes attributes) {
  std::vector<Type> types;
  for (const Value& input : inputs) types.push_back(type(input));
  const std::vector<Type> results = infer(op, types, attributes);
  if (row(op).kind == OpKind::composite) return {row(op).body(*this, inputs, attributes)};
  return evaluate(*this, op, inputs, attributes, results, nullptr);
}

std::vector<Value> InterpreterEmitter::emit_block(const Node& node, std::span<const Value> inputs) {
  const std::vector<Type> types = block_result_types(node.op, node.attributes, *node.body);
  return evaluate(*this, node.op, inputs, node.attributes, types, node.body.get());
}

std::vector<Literal> interpret(const Graph& graph, std::span<const Literal> inputs) {
  if (inputs.size() != graph.inputs().size())
    throw UserError(
        fmt::format("graph @{} takes {} inputs, got {}", graph.name(), graph.inputs().size(), inputs.size()));
  InterpreterEmitter emitter;
  std::vector<Value> values(graph.value_count());
  for (size_t i = 0; i < inputs.size(); ++i) {
    const Type& type = graph.type(graph.inputs()[i]);
    if (inputs[i].type != type || inputs[i].bytes.size() != type.shape.element_count() * size_of(type.dtype))
      throw UserError(fmt::format("graph @{}: input %{} is {}, got {}", graph.name(), graph.input_name(i),
                                  to_string(type), to_string(inputs[i].type)));
    values[graph.inputs()[i]] = emitter.add(inputs[i]);
  }
  for (const Node& node : graph.nodes()) {
    std::vector<Value> operands;
    for (ValueId input : node.inputs) operands.push_back(values[input]);
    const std::vector<Value> results =
        node.body ? emitter.emit_block(node, operands) : emitter.emit(node.op, operands, node.attributes);
    std::ranges::copy(results, values.begin() + node.first_result);
  }
  std::vector<Literal> outputs;
  for (ValueId output : graph.outputs()) outputs.push_back(emitter.literal(values[output]));
  return outputs;
}

}  // namespace calque
