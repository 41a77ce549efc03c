// Follows types through composite bodies and gradient rules.
#include "ir/op/type_emitter.h"

#include <array>

namespace calque {

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
  std::array<bool, 64> needs{};
  for (size_t i = 0; i < inputs.size(); ++i) needs[i] = needed >> i & 1;
  GradientContext context(attributes, input_values, result_values, gradients, std::span(needs).first(inputs.size()));
  row(op).gradient(context);
  GradientReads reads;
  for (size_t i = 0; i < inputs.size(); ++i) reads.inputs |= uint64_t{emitter.was_read(input_values[i])} << i;
  for (size_t i = 0; i < results.size(); ++i) reads.results |= uint64_t{emitter.was_read(result_values[i])} << i;
  return reads;
}

}  // namespace calque
