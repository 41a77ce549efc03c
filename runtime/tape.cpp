// Tape nodes of single ops, through the gradient rules of the op table.
#include "runtime/tape.h"

#include <algorithm>
#include <array>

#include "ir/op/error.h"
#include "ir/op/type_emitter.h"
#include "runtime/eager_emitter.h"
#include "runtime/observer.h"
#include "runtime/view_origin.h"

namespace calque {

namespace {

std::atomic<uint64_t> next_sequence{1};

/// gradient_reads, remembered: for up to three inputs by which of them are needed, for more as if all were.
GradientReads cached_reads(Op op, std::span<const Type> inputs, std::span<const Type> results,
                           const Attributes& attributes, uint64_t needed) {
  constexpr uint64_t kKnown = uint64_t{1} << 63;
  static std::array<std::array<std::atomic<uint64_t>, 8>, kOpCount> cache{};
  if (inputs.size() > 3 || results.size() > 16) return gradient_reads(op, inputs, results, attributes, ~uint64_t{0});
  std::atomic<uint64_t>& entry = cache[static_cast<int>(op)][needed];
  uint64_t packed = entry.load(std::memory_order_relaxed);
  if (!packed) {
    const GradientReads reads = gradient_reads(op, inputs, results, attributes, needed);
    packed = kKnown | reads.inputs | reads.results << 8;
    entry.store(packed, std::memory_order_relaxed);
  }
  return {packed & 7, packed >> 8 & 0xffff};
}

Tensor alias(TensorImpl& impl) {
  TensorImpl* copy = TensorImpl::create();
  copy->dtype = impl.dtype;
  copy->shape = impl.shape;
  copy->strides = impl.strides;
  copy->offset = impl.offset;
  copy->storage = impl.storage;
  return Tensor::adopt(copy);
}

class OpNode final : public TapeNode {
 public:
  OpNode(Op op, std::span<TensorImpl* const> inputs, const Attributes& attributes, std::span<Tensor> results)
      : TapeNode(static_cast<int>(results.size())), op_(op), attributes_(attributes) {
    uint64_t needed = 0;
    for (size_t i = 0; i < inputs.size(); ++i) {
      add_edge(*inputs[i]);
      input_types_.push_back(inputs[i]->type());
      if (edges()[i] && i < 64) needed |= uint64_t{1} << i;
    }
    for (const Tensor& result : results) result_types_.push_back(result.impl()->type());
    const GradientReads reads = cached_reads(op, input_types_, result_types_, attributes, needed);
    if (reads.inputs) inputs_.resize(inputs.size());
    if (reads.results) results_.resize(results.size());
    for (size_t i = 0; i < std::min<size_t>(inputs_.size(), 64); ++i)
      if (reads.inputs >> i & 1) inputs_[i] = SavedTensor(Tensor::share(inputs[i]));
    for (size_t i = 0; i < results_.size(); ++i)
      if (reads.results >> i & 1) results_[i] = SavedTensor(results[i]);
  }

  void backward(std::span<const Tensor> result_gradients, GradientReceiver& receiver, bool create_graph) override {
    EagerEmitter emitter;
    std::vector<Value> inputs, results, gradients;
    const char* name = row(op_).name;
    for (size_t i = 0; i < input_types_.size(); ++i)
      inputs.push_back(i < inputs_.size() && inputs_[i] ? emitter.add(inputs_[i].get(name))
                                                        : emitter.add_type(input_types_[i]));
    for (size_t i = 0; i < result_types_.size(); ++i)
      results.push_back(i < results_.size() && results_[i] ? emitter.add(saved_result(i, create_graph))
                                                           : emitter.add_type(result_types_[i]));
    for (const Tensor& gradient : result_gradients) gradients.push_back(gradient ? emitter.add(gradient) : Value{});
    std::vector<uint8_t> needed;
    for (const Edge& edge : edges()) needed.push_back(static_cast<bool>(edge));
    GradientContext context(attributes_, inputs, results, gradients,
                            {reinterpret_cast<const bool*>(needed.data()), needed.size()});
    row(op_).gradient(context);
    for (size_t i = 0; i < inputs.size(); ++i)
      if (context.gradients()[i]) receiver.give(static_cast<int>(i), emitter.tensor(context.gradients()[i]));
  }

 private:
  Tensor saved_result(size_t i, bool create_graph) {
    Tensor result = results_[i].get(row(op_).name);
    if (!create_graph) return result;
    Tensor connected = alias(*result.impl());
    set_producer(*connected.impl(), Ref<TapeNode>::share(this), static_cast<int>(i));
    return connected;
  }

  Op op_;
  Attributes attributes_;
  std::vector<Type> input_types_, result_types_;
  std::vector<SavedTensor> inputs_, results_;  // empty when nothing of the kind is read
};

}  // namespace

TapeNode::TapeNode(int result_count)
    : result_count_(result_count), sequence_(next_sequence.fetch_add(1, std::memory_order_relaxed)) {}

void TapeNode::add_edge(TensorImpl& input) {
  refresh_history(input);
  Edge& edge = edges_.emplace_back();
  if (!input.requires_grad) return;
  if (input.producer) {
    edge.node = input.producer;
    edge.result = input.result_index;
  } else {
    edge.leaf = Tensor::share(&input);
  }
}

void TapeNode::release() noexcept {
  if (references_.fetch_sub(1, std::memory_order_acq_rel) != 1) return;
  // Chains are as long as programs are: destroy them in a loop, not by recursion.
  static thread_local std::vector<TapeNode*>* dying = nullptr;
  if (dying) {
    dying->push_back(this);
    return;
  }
  std::vector<TapeNode*> list{this};
  dying = &list;
  while (!list.empty()) {
    TapeNode* node = list.back();
    list.pop_back();
    delete node;
  }
  dying = nullptr;
}

namespace {
/// Tensor::version() is a read by the host, of which the observer is told; this is not.
uint32_t version_of(const Tensor& tensor) { return tensor.impl()->storage->version.load(std::memory_order_relaxed); }
}  // namespace

/// A write in place may give a tensor a history that leads here. So what is kept is not the tensor itself, but an alias with
/// the history of now; except of a leaf that requires grad, which is not written to, and whose gradient has to find it.
SavedTensor::SavedTensor(Tensor tensor) : tensor_(std::move(tensor)), version_(version_of(tensor_)) {
  const TensorImpl& impl = *tensor_.impl();
  if (impl.requires_grad && !impl.producer) return;
  Tensor kept = alias(*tensor_.impl());
  if (impl.producer) set_producer(*kept.impl(), impl.producer, impl.result_index);
  tensor_ = std::move(kept);
}

const Tensor& SavedTensor::get(const char* op) const {
  if (version_of(tensor_) != version_)
    throw UserError(std::string(op) + ": a tensor of shape " + to_string(tensor_.shape()) +
                    " that backward() needs was written in place since; write to a copy, or after backward()");
  return tensor_;
}

void set_producer(TensorImpl& tensor, const Ref<TapeNode>& node, int index) {
  tensor.requires_grad = true;
  tensor.producer = node;
  tensor.result_index = index;
}

void record_on_tape(Op op, std::span<TensorImpl* const> inputs, const Attributes& attributes,
                    std::span<Tensor> results) {
  bool wanted = false;
  for (TensorImpl* input : inputs) {
    refresh_history(*input);
    wanted |= input->requires_grad;
  }
  if (!wanted || !is_floating(results[0].impl()->dtype) || op == Op::detach) return;
  const Ref<TapeNode> node = Ref<TapeNode>::adopt(new OpNode(op, inputs, attributes, results));
  for (size_t i = 0; i < results.size(); ++i) set_producer(*results[i].impl(), node, static_cast<int>(i));
}

}  // namespace calque
