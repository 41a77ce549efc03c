// The emitter that computes at once: gradient rules and composite bodies run on tensors through dispatch.
#pragma once

#include <vector>

#include "ir/op/emitter.h"
#include "ir/op/error.h"
#include "runtime/dispatch.h"

namespace calque {

class EagerEmitter final : public Emitter {
 public:
  Value add(Tensor tensor) {
    const Type type = tensor.impl()->type();
    values_.push_back({std::move(tensor), type});
    return {this, static_cast<uint32_t>(values_.size() - 1)};
  }
  /// A value of which only the type is known; a rule may ask for its type but not compute with it.
  Value add_type(const Type& type) {
    values_.push_back({{}, type});
    return {this, static_cast<uint32_t>(values_.size() - 1)};
  }
  const Tensor& tensor(Value value) const {
    if (!values_[value.id].tensor) throw InternalError("a rule computes with a value that was not kept");
    return values_[value.id].tensor;
  }

  std::vector<Value> emit(Op op, std::span<const Value> inputs, Attributes attributes) override {
    std::vector<TensorImpl*> impls;
    for (const Value& input : inputs) impls.push_back(tensor(input).impl());
    std::vector<Tensor> results(calque::result_count(op, inputs.size(), attributes));
    dispatch(op, impls, attributes, results, nullptr);
    std::vector<Value> values;
    for (Tensor& result : results) values.push_back(add(std::move(result)));
    return values;
  }
  Type type(Value value) override { return values_[value.id].type; }

 private:
  struct Entry {
    Tensor tensor;
    Type type;
  };
  std::vector<Entry> values_;
};

}  // namespace calque
