// Follows types through composite bodies and gradient rules.
#include "ir/op/type_emitter.h"

#include <memory>

#include "ir/op/error.h"

namespace calque {

namespace {
constexpr size_t kMostBits = 64;  // of the words in GradientReads; concat has more inputs, but its rule reads none
}  // namespace

Value TypeEmitter::add(const Type& type) {
  types_.push_back(type);
  read_.push_back(false);
  return {this, static_cast<uint32_t>(types_.size() - 1)};
}

std::vector<Value> TypeEmitter::emit(Op op, std::span<const Value> inputs, Attributes attributes) {
  std::vector<Type> types;
  for (const Value& input : inputs) {
    types.push_back(types_[input.id]);
    read_[input.id] = true;
  }
  std::vector<Value> results;
  for (const Type& type : infer(op, types, attributes)) results.push_back(add(type));
  return results;
}

std::vector<Type> infer_composite(const OpRow& row, std::span<const Type> inputs, const Attributes& attributes) {
  TypeEmitter emitter;
  std::vector<Value> values;
  for (const Type& input : inputs) values.push_back(emitter.add(input));
  return {emitter.type(row.body(emitter, values, attributes))};
}

GradientReads gradient_reads(Op op, std::span<const Type> inputs, std::span<const Type> results,
                             const Attributes& attributes, uint64_t needed) {
  TypeEmitter emitter;
  std::vector<Value> input_values, result_values, gradients;
  for (const Type& type : inputs) input_values.push_back(emitter.add(type));
  for (const Type& type : results) result_values.push_back(emitter.add(type));
  for (const Type& type : results) gradients.push_back(emitter.add(type));
  const auto needs = std::make_unique<bool[]>(inputs.size());
  for (size_t i = 0; i < inputs.size(); ++i) needs[i] = i >= kMostBits || needed >> i & 1;
  GradientContext context(attributes, input_values, result_values, gradients, {needs.get(), inputs.size()});
  row(op).gradient(context);
  GradientReads reads;
  const auto bits = [&](const std::vector<Value>& values) {
    uint64_t word = 0;
    for (size_t i = 0; i < values.size(); ++i) {
      if (!emitter.was_read(values[i])) continue;
      if (i >= kMostBits) throw InternalError("gradient_reads: a rule reads more values than a word has bits");
      word |= uint64_t{1} << i;
    }
    return word;
  };
  reads.inputs = bits(input_values);
  reads.results = bits(result_values);
  return reads;
}

}  // namespace calque
