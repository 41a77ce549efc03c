// Random inputs, comparison of bits, and the tape that autodiff is compared with.
#include "tests/ir/passes/reference.h"

#include <cmath>
#include <memory>
#include <utility>

#include "ir/graph/interpreter.h"

namespace calque::test {

Literal random_literal(const Type& type, std::mt19937& random) {
  Literal literal(type);
  with_element_type(type.dtype, [&]<class T>(T) {
    for (T& element : literal.as<T>()) {
      const double number = static_cast<double>(random()) / 4294967296.0 * 4 - 2;
      if (random() % 16 == 0)
        element = static_cast<T>(random() % 2 ? -0.0 : 0.0);
      else if constexpr (std::is_same_v<T, bool>)
        element = number > 0;
      else
        element = static_cast<T>(std::is_integral_v<T> ? std::floor(number * 2) : number);
    }
  });
  return literal;
}

std::vector<Literal> random_inputs(const Graph& graph, std::mt19937& random) {
  std::vector<Literal> inputs;
  for (ValueId input : graph.inputs()) inputs.push_back(random_literal(graph.type(input), random));
  return inputs;
}

bool same_bits(const Literal& a, const Literal& b) {
  if (a == b) return true;
  if (a.type != b.type || !is_floating(a.type.dtype)) return false;
  return with_element_type(a.type.dtype, [&]<class T>(T) {
    for (int64_t i = 0; i < a.size(); ++i) {
      const T x = a.as<T>()[i], y = b.as<T>()[i];
      if (!(x == y && std::signbit(x) == std::signbit(y)) && !(x != x && y != y)) return false;
    }
    return true;
  });
}

bool same_bits(std::span<const Literal> a, std::span<const Literal> b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](const Literal& x, const Literal& y) { return same_bits(x, y); });
}

namespace {

/// One recorded op, as the runtime's tape keeps it.
struct Record {
  Op op;
  Attributes attributes;
  std::vector<Value> inputs, results;
};

/// Runs a program op by op, composites by their bodies, and records every op.
class Tape final : public Emitter {
 public:
  Value add(const Literal& literal) { return outer(interpreter_.add(literal)); }
  std::vector<Value> emit(Op op, std::span<const Value> inputs, Attributes attributes) override {
    if (row(op).kind == OpKind::composite) return {row(op).body(*this, inputs, attributes)};
    Record record{op, attributes, {inputs.begin(), inputs.end()}, {}};
    std::vector<Value> values, types;
    std::vector<Type> input_types;
    for (const Value& input : inputs) {
      values.push_back(inner(input));
      input_types.push_back(type(input));
    }
    infer(op, input_types, record.attributes);
    for (const Value& result : interpreter_.emit(op, values, record.attributes))
      record.results.push_back(outer(result));
    records_.push_back(record);
    return record.results;
  }
  Type type(Value value) override { return interpreter_.type(inner(value)); }
  const Literal& literal(Value value) { return interpreter_.literal(inner(value)); }
  std::vector<Record> take_records() { return std::exchange(records_, {}); }

 private:
  Value inner(Value value) { return {&interpreter_, value.id}; }
  Value outer(Value value) { return {this, value.id}; }
  InterpreterEmitter interpreter_;
  std::vector<Record> records_;
};

}  // namespace

std::vector<Literal> tape_gradients(const Graph& program, std::span<const Literal> inputs,
                                    std::span<const Literal> output_gradients) {
  Tape tape;
  std::vector<Value> values(program.value_count());
  std::vector<bool> tracked;  // by id of the tape
  for (size_t i = 0; i < inputs.size(); ++i) {
    values[program.inputs()[i]] = tape.add(inputs[i]);
    tracked.push_back(is_floating(inputs[i].type.dtype));
  }
  for (const Node& node : program.nodes()) {
    std::vector<Value> operands;
    for (ValueId input : node.inputs) operands.push_back(values[input]);
    const std::vector<Value> results = tape.emit(node.op, operands, node.attributes);
    for (uint32_t i = 0; i < node.result_count; ++i) values[node.result(i)] = results[i];
  }
  const std::vector<Record> records = tape.take_records();
  for (const Record& record : records) {
    bool any = false;
    for (const Value& input : record.inputs) any = any || tracked[input.id];
    for (const Value& result : record.results) {
      tracked.resize(std::max<size_t>(tracked.size(), result.id + 1));
      tracked[result.id] = any && is_floating(tape.type(result).dtype) && record.op != Op::detach;
    }
  }

  std::vector<Value> gradients(tracked.size());
  const auto add = [&](Value to, const Value& gradient) {
    if (tracked[to.id] && gradient) gradients[to.id] = accumulate(gradients[to.id], gradient);
  };
  for (size_t i = 0; i < program.outputs().size(); ++i)
    add(values[program.outputs()[i]], tape.add(output_gradients[i]));
  for (size_t i = records.size(); i-- > 0;) {
    const Record& record = records[i];
    std::vector<Value> incoming;
    bool reached = false;
    for (const Value& result : record.results) {
      incoming.push_back(gradients[result.id]);
      reached = reached || gradients[result.id];
    }
    if (!reached) continue;
    const auto needed = std::make_unique<bool[]>(record.inputs.size());
    for (size_t k = 0; k < record.inputs.size(); ++k) needed[k] = tracked[record.inputs[k].id];
    GradientContext context(record.attributes, record.inputs, record.results, incoming,
                            {needed.get(), record.inputs.size()});
    row(record.op).gradient(context);
    for (size_t k = 0; k < record.inputs.size(); ++k) add(record.inputs[k], context.gradients()[k]);
  }
  std::vector<Literal> result;
  for (ValueId input : program.inputs()) {
    const Value gradient = gradients[values[input].id];
    result.push_back(gradient ? tape.literal(gradient) : Literal());
  }
  return result;
}

Differentiation differentiate_all(const Graph& program) {
  const size_t inputs = program.inputs().size(), outputs = program.outputs().size();
  const auto flags = std::make_unique<bool[]>(std::max(inputs, outputs));
  std::fill_n(flags.get(), std::max(inputs, outputs), true);
  return differentiate(program, {flags.get(), inputs}, {flags.get(), outputs});
}

std::vector<Literal> run_gradients(const Differentiation& differentiation, const Graph& forward,
                                   const Graph& backward, std::span<const Literal> inputs,
                                   std::span<const Literal> output_gradients, size_t program_outputs) {
  const std::vector<Literal> outputs = interpret(forward, inputs);
  std::vector<Literal> sources;
  for (const Differentiation::Source& source : differentiation.sources) switch (source.kind) {
      case Differentiation::SourceKind::input:
        sources.push_back(inputs[source.index]);
        break;
      case Differentiation::SourceKind::saved:
        sources.push_back(outputs[program_outputs + source.index]);
        break;
      case Differentiation::SourceKind::output_gradient:
        sources.push_back(output_gradients[source.index]);
        break;
    }
  const std::vector<Literal> given = interpret(backward, sources);
  std::vector<Literal> gradients(inputs.size());
  for (size_t i = 0; i < given.size(); ++i) gradients[differentiation.wanted[i]] = given[i];
  return gradients;
}

}  // namespace calque::test
