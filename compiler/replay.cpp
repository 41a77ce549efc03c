// Runs recorded ops eagerly.
#include "compiler/replay.h"

#include "runtime/dispatch.h"
#include "runtime/tape.h"
#include "runtime/view_origin.h"

namespace calque {

void replay_path(const TraceTree& tree, std::span<const TraceId> path, std::span<const Tensor> slots,
                 FunctionRef<void(std::span<Tensor>, size_t)> made) {
  std::vector<TensorImpl*> inputs;
  std::vector<Tensor> values;
  const bool grad_before = thread_state.grad_enabled;
  struct Restore {
    bool value;
    ~Restore() { thread_state.grad_enabled = value; }
  } restore{grad_before};
  for (TraceId id : path) {
    const TraceNode& node = tree[id];
    if (node.kind != TraceNode::Kind::op) continue;
    inputs.clear();
    for (const TraceOperand& operand : node.inputs)
      inputs.push_back(operand.is_slot ? slots[operand.index].impl() : values[operand.index].impl());
    values.resize(node.first_value + node.results.size());
    thread_state.grad_enabled = node.grad_enabled;
    const std::span<Tensor> results = std::span(values).last(node.results.size());
    dispatch(node.op, inputs, node.attributes, results, node.location);
    made(results, values.size() - results.size());
  }
}

std::vector<Tensor> replay_graph(const Graph& graph, std::span<const Tensor> inputs) {
  std::vector<Tensor> values(graph.value_count());
  for (size_t i = 0; i < inputs.size(); ++i) values[graph.inputs()[i]] = inputs[i];
  for (const Node& node : graph.nodes()) {
    std::vector<TensorImpl*> operands;
    for (ValueId input : node.inputs) operands.push_back(values[input].impl());
    dispatch(node.op, operands, node.attributes, std::span(values).subspan(node.first_result, node.result_count),
             node.location);
  }
  std::vector<Tensor> outputs;
  for (ValueId output : graph.outputs()) outputs.push_back(values[output]);
  return outputs;
}

void fill_placeholder(TensorImpl& placeholder, const TensorImpl& made) {
  placeholder.strides = made.strides;
  placeholder.offset = made.offset;
  placeholder.requires_grad = made.requires_grad;
  placeholder.producer = made.producer;
  placeholder.result_index = made.result_index;
  placeholder.origin = made.origin;
  placeholder.history_version = made.history_version;
  placeholder.is_cut_off = made.is_cut_off;
  placeholder.storage.publish(made.storage);
}

}  // namespace calque
