// The walk of the tape: nodes in reverse order of creation, each adding to the gradients of what it was made from.
#pragma once

#include <map>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "calque/ops.h"
#include "runtime/gradient_sum.h"
#include "runtime/observer.h"
#include "runtime/tape.h"

namespace calque {

/// Whether ops are recorded on the tape, while it is alive.
class GradMode {
 public:
  explicit GradMode(bool enabled) : before_(std::exchange(thread_state.grad_enabled, enabled)) {}
  ~GradMode() { thread_state.grad_enabled = before_; }
  GradMode(const GradMode&) = delete;
  GradMode& operator=(const GradMode&) = delete;

 private:
  bool before_;
};

/// What a user gets may be written in place, so it is a tensor whose elements nobody else holds; gradients are handed on without
/// copies inside.
Tensor of_its_own(const Tensor& gradient);

/// Why a walk cannot start from this output with this weight (if it is not null); empty where it can.
std::string fault_of_start(const Tensor& output, const Tensor& weight, const char* op);

class BackwardPass {
 public:
  explicit BackwardPass(bool create_graph) : create_graph_(create_graph), mode_(create_graph) {}

  /// Adds a gradient of a tensor that the pass starts from.
  void seed(TensorImpl& tensor, const Tensor& gradient) {
    if (tensor.producer) sum_of(tensor.producer, tensor.result_index).add(gradient);
    else if (tensor.requires_grad) leaf_sum(Tensor::share(&tensor)).add(gradient);
  }

  /// Asks for the gradient of a tensor that is no leaf, to be kept when its node is reached. A node that stands for many ops
  /// is unrolled for it: the gradient may come from a value between them.
  void want(TensorImpl& tensor) {
    if (!tensor.producer) return;
    const auto [entry, is_new] = unrolled_.try_emplace(tensor.producer.get());
    if (is_new) {
      const GradMode recording(true);
      entry->second = tensor.producer->unroll();
    }
    wanted_[place_of(tensor)] = {};
  }

  /// Every consumer of a node is younger than it, so the youngest node left has all its contributions.
  void run() {
    while (!nodes_.empty()) {
      auto youngest = std::prev(nodes_.end());
      const Ref<TapeNode> node = youngest->second.node;
      std::vector<GradientSum> sums = std::move(youngest->second.sums);
      nodes_.erase(youngest);
      visit(*node, sums);
    }
  }

  Tensor wanted_gradient(TensorImpl& tensor) {
    if (tensor.producer) return wanted_[place_of(tensor)];
    const auto found = leaves_.find(&tensor);
    return found == leaves_.end() ? Tensor() : found->second.sum.take(create_graph_);
  }

  /// Adds what was summed up for each leaf to its .grad().
  void deposit() {
    for (TensorImpl* leaf : leaf_order_) {
      const Tensor total = leaves_.at(leaf).sum.take(create_graph_);
      leaf->gradient = leaf->gradient ? leaf->gradient + total : of_its_own(total);
    }
  }

 private:
  struct Pending {
    Ref<TapeNode> node;
    std::vector<GradientSum> sums;
  };
  struct Leaf {
    Tensor tensor;
    GradientSum sum;
  };
  class Receiver final : public GradientReceiver {
   public:
    Receiver(BackwardPass& pass, const TapeNode& node) : pass_(pass), node_(node) {}
    void give(int input, Tensor gradient) override {
      if (GradientSum* sum = pass_.sum_for(node_.edges()[input])) sum->add(std::move(gradient));
    }
    void give_product(int input, Tensor a, Tensor b) override {
      if (GradientSum* sum = pass_.sum_for(node_.edges()[input])) sum->add_product(std::move(a), std::move(b));
    }

   private:
    BackwardPass& pass_;
    const TapeNode& node_;
  };

  using ResultPlace = std::pair<TapeNode*, int>;

  /// Where the gradient of a tensor that is no leaf arrives.
  ResultPlace place_of(const TensorImpl& tensor) const {
    const auto found = unrolled_.find(tensor.producer.get());
    if (found == unrolled_.end() || found->second.empty()) return {tensor.producer.get(), tensor.result_index};
    const TensorImpl& again = *found->second[tensor.result_index].impl();
    return {again.producer.get(), again.result_index};
  }
  GradientSum& sum_of(const Ref<TapeNode>& node, int result) {
    Pending& pending = nodes_[node->sequence()];
    if (!pending.node) {
      pending.node = node;
      pending.sums.resize(node->result_count());
    }
    return pending.sums[result];
  }
  GradientSum& leaf_sum(const Tensor& tensor) {
    const auto [entry, is_new] = leaves_.try_emplace(tensor.impl());
    if (is_new) {
      entry->second.tensor = tensor;
      leaf_order_.push_back(tensor.impl());
    }
    return entry->second.sum;
  }
  GradientSum* sum_for(const Edge& edge) {
    if (edge.node) return &sum_of(edge.node, edge.result);
    return edge.leaf ? &leaf_sum(edge.leaf) : nullptr;
  }

  void visit(TapeNode& node, std::vector<GradientSum>& sums) {
    std::vector<Tensor> gradients;
    for (size_t i = 0; i < sums.size(); ++i) {
      gradients.push_back(sums[i].take(create_graph_));
      if (wanted_.empty()) continue;
      const auto wanted = wanted_.find({&node, static_cast<int>(i)});
      if (wanted != wanted_.end()) wanted->second = gradients.back();
    }
    if (const auto found = unrolled_.find(&node); found != unrolled_.end() && !found->second.empty()) {
      for (size_t i = 0; i < gradients.size(); ++i)
        if (gradients[i]) seed(*found->second[i].impl(), gradients[i]);
      return;
    }
    Receiver receiver(*this, node);
    node.backward(gradients, receiver, create_graph_);
  }

  bool create_graph_;
  GradMode mode_;
  std::map<uint64_t, Pending> nodes_;  // by sequence
  std::unordered_map<TensorImpl*, Leaf> leaves_;
  std::vector<TensorImpl*> leaf_order_;
  std::map<ResultPlace, Tensor> wanted_;
  std::map<TapeNode*, std::vector<Tensor>> unrolled_;  // empty for nodes of one op
};

}  // namespace calque
