// The backward pass of a compiled region.
#include "compiler/region.h"

#include "calque/ops.h"
#include "compiler/replay.h"

namespace calque {

namespace {

class RegionNode final : public TapeNode {
 public:
  RegionNode(std::shared_ptr<const CompiledSegment> segment, std::span<const Tensor> slots,
             std::span<const Tensor> saved)
      : TapeNode(static_cast<int>(segment->traced.held.size())), segment_(std::move(segment)),
        slots_(slots.begin(), slots.end()) {
    for (const Tensor& slot : slots) add_edge(*slot.impl());
    for (const Source& source : program().map.sources) {
      if (source.kind == SourceKind::input) kept_.emplace_back(slots[source.index]);
      if (source.kind == SourceKind::saved) kept_.emplace_back(saved[source.index]);
    }
  }

  void backward(std::span<const Tensor> result_gradients, GradientReceiver& receiver, bool create_graph) override {
    if (create_graph) return backward_with_graph(result_gradients, receiver);
    std::vector<Tensor> inputs;
    size_t kept = 0;
    for (const Source& source : program().map.sources)
      inputs.push_back(source.kind == SourceKind::output_gradient
                           ? gradient_or_zeros(result_gradients, source.index)
                           : kept_[kept++].get("a compiled region"));
    const std::vector<Tensor> outputs = program().plan->run(inputs);
    program().runs.fetch_add(1, std::memory_order_relaxed);
    for (const GradientOutput& gradient : program().map.gradients) {
      if (gradient.is_product)
        receiver.give_product(gradient.slot, outputs[gradient.first], outputs[gradient.first + 1]);
      else
        receiver.give(gradient.slot, outputs[gradient.first]);
    }
  }

 private:
  using Source = Differentiation::Source;
  using SourceKind = Differentiation::SourceKind;

  BackwardProgram& program() const { return *segment_->backward; }

  Tensor gradient_or_zeros(std::span<const Tensor> gradients, int index) const {
    if (gradients[index]) return gradients[index];
    const Graph& graph = segment_->traced.graph;
    const Type& type = graph.type(graph.outputs()[index]);
    return zeros(type.shape, type.dtype);
  }

  /// Gradients that are recorded: forward and backward run op by op on the region's inputs, so that each op is on the
  /// tape.
  void backward_with_graph(std::span<const Tensor> result_gradients, GradientReceiver& receiver) {
    for (const SavedTensor& tensor : kept_) tensor.get("a compiled region");
    const EagerGradient eager = eager_gradient(segment_->traced);
    const std::vector<Tensor> forward = replay_graph(eager.differentiation.forward, slots_);
    const std::span<const Tensor> saved = std::span(forward).last(eager.saved);
    std::vector<Tensor> inputs;
    for (const Source& source : eager.differentiation.sources)
      inputs.push_back(source.kind == SourceKind::output_gradient ? gradient_or_zeros(result_gradients, source.index)
                       : source.kind == SourceKind::saved         ? saved[source.index]
                                                                  : slots_[source.index]);
    const std::vector<Tensor> gradients = replay_graph(eager.differentiation.backward, inputs);
    for (size_t i = 0; i < gradients.size(); ++i) receiver.give(eager.differentiation.wanted[i], gradients[i]);
  }

  std::shared_ptr<const CompiledSegment> segment_;
  std::vector<Tensor> slots_;
  std::vector<SavedTensor> kept_;  // inputs and saved values that the backward plan reads, in the order of its sources
};

}  // namespace

Ref<TapeNode> make_region_node(std::shared_ptr<const CompiledSegment> segment, std::span<const Tensor> slots,
                               std::span<const Tensor> saved) {
  return Ref<TapeNode>::adopt(new RegionNode(std::move(segment), slots, saved));
}

}  // namespace calque
