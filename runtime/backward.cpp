// The backward pass: nodes in reverse order of creation, each adding to the gradients of what it was made from.
#include <fmt/format.h>

#include <map>
#include <memory>
#include <unordered_map>
#include <utility>

#include "calque/autograd.h"
#include "calque/ops.h"
#include "ir/op/error.h"
#include "runtime/gradient_sum.h"
#include "runtime/observer.h"
#include "runtime/tape.h"

namespace calque {

namespace {

class GradMode {
 public:
  explicit GradMode(bool enabled) : before_(std::exchange(thread_state.grad_enabled, enabled)) {}
  ~GradMode() { thread_state.grad_enabled = before_; }
  GradMode(const GradMode&) = delete;
  GradMode& operator=(const GradMode&) = delete;

 private:
  bool before_;
};

/// Gradients are handed on without copies; what a user gets may be written in place, so nobody else holds its elements.
Tensor of_its_own(const Tensor& gradient) {
  const TensorImpl& impl = *gradient.impl();
  const bool is_shared = impl.references.load(std::memory_order_relaxed) > 1 ||
                         impl.storage->references.load(std::memory_order_relaxed) > 1;
  bool is_expanded = false;
  for (int axis = 0; axis < impl.shape.rank(); ++axis) is_expanded |= impl.strides[axis] == 0 && impl.shape[axis] > 1;
  if (!is_shared && !is_expanded) return gradient;
  const Tensor copy = empty(impl.type());
  kernels::copy(impl.view(), copy.impl()->view());
  return copy;
}

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

/// The gradient to start from: as given, or one for a single element.
Tensor seed_gradient(const Tensor& output, const Tensor& given, const char* op) {
  if (!output.requires_grad())
    throw UserError(std::string(op) + ": the tensor depends on nothing that requires grad");
  materialize(*output.impl());
  if (!given) {
    if (output.element_count() != 1)
      throw UserError(fmt::format("{}: {} has more than one element; give the gradient to start from", op,
                                  to_string(output.impl()->type())));
    return full(output.shape(), 1.0, output.dtype());
  }
  if (given.impl()->type() != output.impl()->type())
    throw UserError(fmt::format("{}: the gradient is {}, the tensor {}", op, to_string(given.impl()->type()),
                                to_string(output.impl()->type())));
  return given;
}

}  // namespace

bool is_grad_enabled() { return thread_state.grad_enabled; }
NoGradGuard::NoGradGuard() : before_(std::exchange(thread_state.grad_enabled, false)) {}
NoGradGuard::~NoGradGuard() { thread_state.grad_enabled = before_; }

void Tensor::backward() const { backward({}); }

void Tensor::backward(const Tensor& gradient) const {
  border("backward()");
  const ObserverPause pause;
  const Tensor seed = seed_gradient(*this, gradient, "backward");
  BackwardPass pass(false);
  pass.seed(*impl_, seed);
  pass.run();
  pass.deposit();
}

std::vector<Tensor> grad(std::span<const Tensor> outputs, std::span<const Tensor> inputs, const GradOptions& options) {
  const auto& [create_graph, output_gradients] = options;
  if (!output_gradients.empty() && output_gradients.size() != outputs.size())
    throw UserError(fmt::format("grad: {} outputs but {} output gradients", outputs.size(), output_gradients.size()));
  border("grad()");
  const ObserverPause pause;
  BackwardPass pass(create_graph);
  for (const Tensor& input : inputs) {
    if (!input.requires_grad()) throw UserError("grad: an input does not require grad");
    materialize(*input.impl());
    pass.want(*input.impl());
  }
  for (size_t i = 0; i < outputs.size(); ++i)
    pass.seed(*outputs[i].impl(),
              seed_gradient(outputs[i], output_gradients.empty() ? Tensor() : output_gradients[i], "grad"));
  pass.run();
  std::vector<Tensor> gradients;
  for (const Tensor& input : inputs) {
    const Tensor gradient = pass.wanted_gradient(*input.impl());
    gradients.push_back(gradient ? gradient : zeros(input.shape(), input.dtype()));
  }
  return gradients;
}

std::vector<Tensor> grad(std::initializer_list<Tensor> outputs, std::initializer_list<Tensor> inputs,
                         const GradOptions& options) {
  return grad(std::span(outputs.begin(), outputs.size()), std::span(inputs.begin(), inputs.size()), options);
}

}  // namespace calque
