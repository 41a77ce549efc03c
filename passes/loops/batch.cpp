// The rules of batching, by kind of op.
#include "passes/loops/batch.h"

#include <algorithm>

#include "ir/op/error.h"

namespace calque::passes {

namespace {

Shape with_steps(Shape shape, int64_t steps) {
  shape.insert(0, steps);
  return shape;
}

class Batcher {
 public:
  Batcher(Graph& graph, const Graph& body, const Node& node, const std::vector<BatchOperand>& operands, int64_t steps)
      : graph_(graph), body_(body), node_(node), operands_(operands), steps_(steps) {}

  std::vector<ValueId> run() {
    if (row(node_.op).kind == OpKind::elementwise) return elementwise();
    if (row(node_.op).kind == OpKind::reduction) return reduction();
    const Attributes& attributes = node_.attributes;
    switch (node_.op) {
      case Op::matmul: return product();
      case Op::take: return add({operands_[0].value, operands_[1].value}, attributes);
      case Op::detach: return add({sequence(0)}, attributes);
      case Op::reshape: return add({sequence(0)}, Attributes::of(Ints(result_shape())));
      case Op::expand: return add({aligned(0)}, Attributes::of(Ints(result_shape())));
      case Op::permute: return permute();
      case Op::slice:
        return add({sequence(0)}, Attributes::of(attributes[0] + 1, attributes[1], attributes[2]));
      case Op::pad:
        return add({sequence(0)}, Attributes::of(attributes[0] + 1, attributes[1], attributes[2]));
      case Op::split: return add({sequence(0)}, Attributes::of(attributes[0], attributes[1] + 1));
      case Op::concat:
      case Op::gather: return along_next_axis();
      default: throw InternalError("batch: an op without a rule");
    }
  }

 private:
  std::vector<ValueId> add(const std::vector<ValueId>& inputs, const Attributes& attributes) {
    const Node& added = graph_.add(node_.op, inputs, attributes, node_.location);
    std::vector<ValueId> results;
    for (uint32_t i = 0; i < added.result_count; ++i) results.push_back(added.result(i));
    return results;
  }
  ValueId reshape(ValueId value, const Shape& shape) {
    const ValueId inputs[] = {value};
    return graph_.add(Op::reshape, inputs, Attributes::of(Ints(shape)), node_.location).result();
  }
  ValueId sequence(size_t i) const { return operands_[i].value; }
  Shape result_shape() const { return with_steps(body_.type(node_.result()).shape, steps_); }

  /// A sequence whose steps have as many axes as the result, so that broadcasting aligns them; others as they are.
  ValueId aligned(size_t i) {
    if (!operands_[i].is_sequence) return operands_[i].value;
    Shape shape = body_.type(node_.inputs[i]).shape;
    const int rank = body_.type(node_.result()).shape.rank();
    if (shape.rank() == rank) return sequence(i);
    while (shape.rank() < rank) shape.insert(0, 1);
    return reshape(sequence(i), with_steps(shape, steps_));
  }

  std::vector<ValueId> elementwise() {
    std::vector<ValueId> inputs;
    for (size_t i = 0; i < operands_.size(); ++i) inputs.push_back(aligned(i));
    return add(inputs, node_.attributes);
  }

  std::vector<ValueId> reduction() {
    std::vector<int64_t> axes;
    for (int64_t axis : node_.attributes.list(1)) axes.push_back(axis + 1);
    return add({sequence(0)}, Attributes::of(node_.attributes[0], Ints(axes)));
  }

  std::vector<ValueId> along_next_axis() {
    std::vector<ValueId> inputs;
    for (const BatchOperand& operand : operands_) inputs.push_back(operand.value);
    return add(inputs, Attributes::of(node_.attributes[0] + 1));
  }

  std::vector<ValueId> permute() {
    std::vector<int64_t> axes{0};
    for (int64_t axis : node_.attributes.list(0)) axes.push_back(axis + 1);
    return add({sequence(0)}, Attributes::of(Ints(axes)));
  }

  /// All rows of all steps in one product.
  std::vector<ValueId> product() {
    const Shape &left = body_.type(node_.inputs[0]).shape, &right = body_.type(node_.inputs[1]).shape;
    const ValueId rows = reshape(sequence(0), Shape{steps_ * left[0], left[1]});
    const ValueId product = add({rows, operands_[1].value}, node_.attributes)[0];
    return {reshape(product, Shape{steps_, left[0], right[1]})};
  }

  Graph& graph_;
  const Graph& body_;
  const Node& node_;
  const std::vector<BatchOperand>& operands_;
  const int64_t steps_;
};

}  // namespace

bool can_batch(const Graph& body, const Node& node, const std::vector<bool>& is_sequence) {
  for (uint32_t i = 0; i < node.result_count; ++i)
    if (body.type(node.result(i)).shape.rank() >= kMaxRank) return false;
  for (ValueId input : node.inputs)
    if (body.type(input).shape.rank() >= kMaxRank) return false;
  switch (node.op) {
    case Op::matmul:
      return is_sequence[0] && !is_sequence[1] && body.type(node.inputs[0]).shape.rank() == 2 &&
             body.type(node.inputs[1]).shape.rank() == 2;
    case Op::take: return !is_sequence[0] && is_sequence[1];
    case Op::concat:
    case Op::gather: return std::ranges::count(is_sequence, false) == 0;
    case Op::pad:
    case Op::detach:
    case Op::reshape:
    case Op::expand:
    case Op::permute:
    case Op::slice:
    case Op::split: return true;
    default: break;
  }
  if (row(node.op).kind == OpKind::reduction) return !node.attributes.list(1).empty();  // no axes of the steps would be all of theirs
  return row(node.op).kind == OpKind::elementwise;
}

std::vector<ValueId> batch(Graph& graph, const Graph& body, const Node& node, const std::vector<BatchOperand>& operands,
                           int64_t steps) {
  return Batcher(graph, body, node, operands, steps).run();
}

}  // namespace calque::passes
