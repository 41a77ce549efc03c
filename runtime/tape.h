// The tape: what has been recorded for backward(), as nodes that point at the nodes their inputs came from.
#pragma once

#include <atomic>
#include <cstdint>
#include <span>
#include <vector>

#include "ir/op/op.h"
#include "runtime/tensor_impl.h"

namespace calque {

/// Where the gradient of an input goes: to a result of an earlier node, or to a leaf's .grad; nowhere if neither is set.
struct Edge {
  Ref<TapeNode> node;
  int32_t result = 0;
  Tensor leaf;
  explicit operator bool() const { return node || leaf; }
};

/// Takes the gradients that a node computes for its inputs.
class GradientReceiver {
 public:
  virtual ~GradientReceiver() = default;
  virtual void give(int input, Tensor gradient) = 0;
  /// The gradient a x b ([M,K] x [K,N]), not computed yet: products for one tensor are summed in one go, in order.
  virtual void give_product(int input, Tensor a, Tensor b) = 0;
};

class TapeNode {
 public:
  explicit TapeNode(int result_count);
  virtual ~TapeNode() = default;
  /// Gradients of the results may be empty (zero). Called with gradients on only for create_graph.
  virtual void backward(std::span<const Tensor> result_gradients, GradientReceiver& receiver, bool create_graph) = 0;

  /// Of a node that stands for many ops: its results made again op by op, so that gradients of values between them can be
  /// had. Empty for other nodes.
  virtual std::vector<Tensor> unroll() { return {}; }

  // Nodes come from the thread's free lists, like tensors.
  static void* operator new(size_t bytes) { return memory::allocate(bytes); }
  static void operator delete(void* node, size_t bytes) { memory::free(node, bytes); }

  /// Later nodes have larger numbers.
  uint64_t sequence() const { return sequence_; }
  int result_count() const { return result_count_; }
  std::span<const Edge> edges() const { return edges_; }
  void add_edge(TensorImpl& input);

  void retain() { references_.fetch_add(1, std::memory_order_relaxed); }
  void release() noexcept;

 private:
  std::atomic<int32_t> references_{1};
  int result_count_;
  uint64_t sequence_;
  std::vector<Edge> edges_;
};

/// A tensor kept for the backward pass, with a check that it is unchanged by then.
class SavedTensor {
 public:
  SavedTensor() = default;
  explicit SavedTensor(Tensor tensor);
  explicit operator bool() const { return static_cast<bool>(tensor_); }
  /// Throws UserError, naming `op`, when the elements were written since.
  const Tensor& get(const char* op) const;

 private:
  Tensor tensor_;
  uint32_t version_ = 0;
};

/// Records one op that ran: its results get a new node when any input requires grad.
void record_on_tape(Op op, std::span<TensorImpl* const> inputs, const Attributes& attributes, std::span<Tensor> results);

/// What the op `grad` is eagerly: the walk of the tape between its operands.
void run_grad(std::span<TensorImpl* const> operands, const Attributes& attributes, std::span<Tensor> results);

/// Makes result i of the node the history of a tensor.
void set_producer(TensorImpl& tensor, const Ref<TapeNode>& node, int index);

}  // namespace calque
