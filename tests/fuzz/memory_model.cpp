// Values as parts of shared memory; a view op is applied to the numbers of the elements.
#include "tests/fuzz/memory_model.h"

#include <cstring>
#include <memory>

#include "ir/graph/interpreter.h"

namespace calque::test {

namespace {

/// Elements of `memory`, those numbered in `where`.
struct Cell {
  std::shared_ptr<Literal> memory;
  Literal where;  // i64, of the shape of the value
};

Cell fresh_cell(Literal value) {
  Literal where(Type{DType::i64, value.type.shape});
  for (int64_t i = 0; i < where.size(); ++i) where.as<int64_t>()[i] = i;
  return {std::make_shared<Literal>(std::move(value)), std::move(where)};
}

Literal read(const Cell& cell) {
  Literal value(Type{cell.memory->type.dtype, cell.where.type.shape});
  const size_t size = size_of(value.type.dtype);
  for (int64_t i = 0; i < value.size(); ++i)
    std::memcpy(&value.bytes[i * size], &cell.memory->bytes[cell.where.as<int64_t>()[i] * size], size);
  return value;
}

void write(const Cell& cell, const Literal& value) {
  const size_t size = size_of(value.type.dtype);
  for (int64_t i = 0; i < value.size(); ++i)
    std::memcpy(&cell.memory->bytes[cell.where.as<int64_t>()[i] * size], &value.bytes[i * size], size);
}

std::vector<Literal> compute(Op op, std::span<const Literal> operands, const Attributes& attributes) {
  InterpreterEmitter emitter;
  std::vector<Value> values;
  for (const Literal& operand : operands) values.push_back(emitter.add(operand));
  std::vector<Literal> results;
  for (const Value& result : emitter.emit(op, values, attributes)) results.push_back(emitter.literal(result));
  return results;
}

class Memory {
 public:
  Memory(const RandomProgram& program, const Outcome& eager, int call)
      : program_(program), graph_(program.graph), eager_(eager), call_(call), cells_(graph_.value_count()) {}

  MemoryOutcome run(std::span<const Literal> inputs) {
    for (size_t i = 0; i < inputs.size(); ++i) {
      const size_t same = input_in_call(program_, i, call_);
      cells_[graph_.inputs()[i]] = same == i ? fresh_cell(inputs[i]) : cells_[graph_.inputs()[same]];
    }
    for (NodeId id = 0; id < eager_.executed; ++id) run_node(id);
    MemoryOutcome outcome;
    for (ValueId input : graph_.inputs()) outcome.inputs.push_back(read(cells_[input]));
    for (size_t i = 0; i < graph_.outputs().size(); ++i)
      outcome.outputs.push_back(eager_.outputs[i] ? read(cells_[graph_.outputs()[i]]) : Literal());
    return outcome;
  }

 private:
  void run_node(NodeId id) {
    const Node& node = graph_.node(id);
    const Attributes attributes = attributes_in_call(program_, id, call_);
    if (node.result_count > 0 && eager_.is_shared[node.result()]) {
      const Cell base = cells_[node.inputs[0]];
      const std::vector<Literal> places = compute(node.op, {&base.where, 1}, attributes);
      for (uint32_t i = 0; i < node.result_count; ++i) cells_[node.result(i)] = {base.memory, places[i]};
    } else {
      std::vector<Literal> operands;
      for (ValueId input : node.inputs) operands.push_back(read(cells_[input]));
      std::vector<Literal> results = compute(node.op, operands, attributes);
      for (uint32_t i = 0; i < node.result_count; ++i) cells_[node.result(i)] = fresh_cell(std::move(results[i]));
    }
    if (eager_.turned[id])
      for (uint32_t i = 0; i < node.result_count; ++i) {
        const Literal result = read(cells_[node.result(i)]);
        cells_[node.result(i)] = fresh_cell(compute(turn_op(result.type.dtype), {&result, 1}, {})[0]);
      }
    if (program_.steps[id].write) write_in_place(*program_.steps[id].write);
  }

  void write_in_place(const Write& step) {
    Literal source = read(cells_[step.source]);
    const Shape& shape = cells_[step.target].where.type.shape;
    if (source.type.shape != shape) source = compute(Op::expand, {&source, 1}, Attributes::of(Ints(shape)))[0];
    write(cells_[step.target], source);
  }

  const RandomProgram& program_;
  const Graph& graph_;
  const Outcome& eager_;
  int call_;
  std::vector<Cell> cells_;
};

}  // namespace

MemoryOutcome run_in_memory(const RandomProgram& program, std::span<const Literal> inputs, const Outcome& eager, int call) {
  return Memory(program, eager, call).run(inputs);
}

}  // namespace calque::test
