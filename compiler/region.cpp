// The backward pass of a compiled region.
#include "compiler/region.h"

#include "calque/ops.h"
#include "compiler/absent_gradients.h"
#include "compiler/replay.h"
#include "compiler/step_rows.h"
#include "passes/dce.h"

namespace calque {

namespace {

constexpr const char* kName = "a compiled region";

class RegionNode final : public TapeNode {
 public:
  RegionNode(std::shared_ptr<const CompiledSegment> segment, std::span<const Tensor> slots, std::span<const Tensor> inputs,
             std::span<const Tensor> saved)
      : TapeNode(static_cast<int>(segment->held.size())), segment_(std::move(segment)) {
    for (const Tensor& slot : slots) {
      add_edge(*slot.impl());
      slots_.emplace_back(slot);
    }
    if (!segment_->backward) return;
    for (const Source& source : segment_->backward->map.sources)
      if (source.kind != SourceKind::output_gradient)
        kept_.push_back({source, SavedTensor(source.kind == SourceKind::input ? inputs[source.index] : saved[source.index])});
  }

  void backward(std::span<const Tensor> result_gradients, GradientReceiver& receiver, bool create_graph) override {
    if (!segment_->backward) return;  // no gradient flows through
    if (!create_graph) {
      const std::vector<Tensor> gradients = gradients_of_outputs(result_gradients);
      const std::vector<bool> absent = absent_among(segment_->backward->map.sources, gradients);
      if (const std::shared_ptr<BackwardProgram> program = segment_->backward_without(absent))
        return run(*program, gradients, receiver);
    }
    backward_op_by_op(result_gradients, receiver);
  }

  std::vector<Tensor> unroll() override {
    std::vector<Tensor> results = replay_graph(segment_->recorded().graph, unchanged_slots());
    results.resize(result_count());
    return results;
  }

 private:
  using Source = Differentiation::Source;
  using SourceKind = Differentiation::SourceKind;
  struct Kept {
    Source source;
    SavedTensor tensor;
  };

  static std::vector<bool> absent_among(std::span<const Source> sources, std::span<const Tensor> gradients) {
    std::vector<bool> absent(gradients.size(), false);
    for (const Source& source : sources)
      if (source.kind == SourceKind::output_gradient) absent[source.index] = !gradients[source.index];
    return absent;
  }

  /// By held value of the program: of one that stands for steps, theirs as one tensor, zeros for those without one.
  std::vector<Tensor> gradients_of_outputs(std::span<const Tensor> result_gradients) const {
    const std::vector<HeldValue>& held = segment_->traced.held;
    if (held.size() == result_gradients.size()) return {result_gradients.begin(), result_gradients.end()};
    std::vector<Tensor> gradients(held.size());
    std::vector<std::vector<const Tensor*>> steps(held.size());
    for (size_t entry = 0; entry < held.size(); ++entry) steps[entry].resize(held[entry].steps.size());
    for (size_t i = 0; i < result_gradients.size(); ++i) {
      const HeldPlace& place = segment_->held[i];
      if (steps[place.entry].empty()) gradients[place.entry] = result_gradients[i];
      else if (result_gradients[i]) steps[place.entry][static_cast<size_t>(place.step)] = &result_gradients[i];
    }
    for (size_t entry = 0; entry < held.size(); ++entry)
      if (std::ranges::any_of(steps[entry], [](const Tensor* step) { return step != nullptr; }))
        gradients[entry] = joined(segment_->traced.graph.type(segment_->traced.graph.outputs()[entry]), steps[entry]);
    return gradients;
  }

  /// Inputs of a backward graph; its sources are those of the whole one in their order, some left out.
  std::vector<Tensor> gather(std::span<const Source> sources, std::span<const Tensor> gradients) const {
    std::vector<Tensor> inputs;
    auto kept = kept_.begin();
    for (const Source& source : sources) {
      if (source.kind == SourceKind::output_gradient) {
        inputs.push_back(gradients[source.index]);
        continue;
      }
      while (kept->source != source) ++kept;
      inputs.push_back(kept->tensor.get(kName));
      if (source.kind == SourceKind::input)  // what was joined is as it was, but is not what a user may have written to
        for (const uint32_t slot : segment_->traced.sources[source.index].steps) slots_[slot].get(kName);
    }
    return inputs;
  }

  void run(BackwardProgram& program, std::span<const Tensor> gradients, GradientReceiver& receiver) const {
    const PlanOutputs outputs = program.plan->run(gather(program.map.sources, gradients));
    segment_->backward->runs.fetch_add(1, std::memory_order_relaxed);
    for (const GradientOutput& gradient : program.map.gradients) {
      const SlotSource& source = segment_->traced.sources[static_cast<size_t>(gradient.slot)];
      const Tensor& first = outputs[gradient.first];
      for (size_t i = 0; i < source.steps.size(); ++i)
        receiver.give(static_cast<int>(source.steps[i]), step_view(first, static_cast<int64_t>(i)));
      if (!source.steps.empty()) continue;
      if (gradient.is_product)
        receiver.give_product(static_cast<int>(source.slot), first, outputs[gradient.first + 1]);
      else
        receiver.give(static_cast<int>(source.slot), first);
    }
  }

  static void give(const Differentiation& differentiation, std::span<const Tensor> gradients, GradientReceiver& receiver) {
    for (size_t i = 0; i < gradients.size(); ++i) receiver.give(differentiation.wanted[i], gradients[i]);
  }

  /// What runs op by op reads all inputs anew, also those that the plan has no need of.
  std::vector<Tensor> unchanged_slots() const {
    std::vector<Tensor> slots;
    for (const SavedTensor& slot : slots_) slots.push_back(slot.get(kName));
    return slots;
  }

  /// Also for gradients that are recorded: forward and backward run op by op on the region's inputs, so that each op is on the
  /// tape. Of the forward only what the backward reads is made again, and inputs that this has no need of may have been
  /// written meanwhile.
  void backward_op_by_op(std::span<const Tensor> result_gradients, GradientReceiver& receiver) {
    const EagerGradient eager = eager_gradient(segment_->recorded());
    const Differentiation present =
        without_gradients(eager.differentiation, absent_among(eager.differentiation.sources, result_gradients));
    Graph forward = eager.differentiation.forward;
    forward.set_outputs({forward.outputs().end() - static_cast<std::ptrdiff_t>(eager.saved), forward.outputs().end()});
    forward = passes::dce(forward);
    const std::vector<Tensor> slots = slots_read_by(forward, present), saved = replay_graph(forward, slots);
    std::vector<Tensor> inputs;
    for (const Source& source : present.sources)
      inputs.push_back(source.kind == SourceKind::output_gradient ? result_gradients[source.index]
                       : source.kind == SourceKind::saved         ? saved[source.index]
                                                                  : slots[source.index]);
    give(present, replay_graph(present.backward, inputs), receiver);
  }

  /// The other slots are left empty.
  std::vector<Tensor> slots_read_by(const Graph& forward, const Differentiation& differentiation) const {
    std::vector<bool> is_read(slots_.size(), false);
    const std::vector<uint32_t> uses = forward.use_counts();
    for (size_t i = 0; i < slots_.size(); ++i) is_read[i] = uses[forward.inputs()[i]] > 0;
    for (const Source& source : differentiation.sources)
      if (source.kind == SourceKind::input) is_read[source.index] = true;
    std::vector<Tensor> slots(slots_.size());
    for (size_t i = 0; i < slots_.size(); ++i)
      if (is_read[i]) slots[i] = slots_[i].get(kName);
    return slots;
  }

  std::shared_ptr<const CompiledSegment> segment_;
  std::vector<SavedTensor> slots_;
  std::vector<Kept> kept_;  // inputs and saved values that the backward plan reads, in the order of its sources
};

}  // namespace

Ref<TapeNode> make_region_node(std::shared_ptr<const CompiledSegment> segment, std::span<const Tensor> slots,
                               std::span<const Tensor> inputs, std::span<const Tensor> saved) {
  return Ref<TapeNode>::adopt(new RegionNode(std::move(segment), slots, inputs, saved));
}

}  // namespace calque
