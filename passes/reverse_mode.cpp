// Applies the gradient rules of the op table, and that of loops.
#include "passes/reverse_mode.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <utility>

#include "ir/op/error.h"
#include "passes/loops/loop_gradient.h"

namespace calque::passes {

namespace {

/// std::vector<bool> is no span of bool.
class Needed {
 public:
  Needed(const Node& node, const std::vector<bool>& requires_grad)
      : flags_(std::make_unique<bool[]>(node.inputs.size())), size_(node.inputs.size()) {
    for (size_t i = 0; i < size_; ++i) flags_[i] = requires_grad[node.inputs[i]];
  }
  std::span<const bool> span() const { return {flags_.get(), size_}; }
  bool operator[](size_t i) const { return flags_[i]; }
  bool any() const { return std::ranges::any_of(span(), std::identity{}); }

 private:
  std::unique_ptr<bool[]> flags_;
  size_t size_;
};

}  // namespace

ReverseMode::ReverseMode(Graph& graph, std::vector<bool> requires_grad, SavingLoops& saving, const void* location)
    : graph_(graph), nodes_(graph.nodes().size()), requires_grad_(std::move(requires_grad)), saving_(saving),
      location_(location), emitter_(graph), gradients_(graph.value_count()) {}

void ReverseMode::add(ValueId value, const Value& gradient) { gradients_[value] = accumulate(gradients_[value], gradient); }

void ReverseMode::seed(ValueId value, ValueId gradient) {
  if (requires_grad_[value]) add(value, emitter_.value(gradient));
}

void ReverseMode::run() {
  for (size_t id = nodes_; id-- > 0;) differentiate(static_cast<NodeId>(id));
}

std::optional<ValueId> ReverseMode::gradient(ValueId value) const {
  return requires_grad_[value] && gradients_[value] ? std::optional(gradients_[value].id) : std::nullopt;
}

/// A loop and the copies of it that save more are one: its gradient starts from what is read of any of them, and the last is
/// the one to be differentiated.
void ReverseMode::differentiate_loop(NodeId id) {
  if (saving_.is_copy(id)) return;
  const std::vector<NodeId> versions = saving_.versions(id);
  std::vector<std::optional<ValueId>> result_gradients;
  for (NodeId version : versions) {
    const Node& node = graph_.node(version);
    for (auto i = static_cast<uint32_t>(result_gradients.size()); i < node.result_count; ++i)
      result_gradients.push_back(gradient(node.result(i)));
  }
  if (std::ranges::none_of(result_gradients, [](const auto& g) { return g.has_value(); })) return;
  const std::vector<ValueId> operands = graph_.node(id).inputs;
  const Needed needed(graph_.node(id), requires_grad_);
  const LoopGradient made = append_loop_gradient(graph_, versions.back(), needed.span(), result_gradients, location_);
  if (made.saving_loop == kNoNode) return;
  saving_.add(id, made.saving_loop);
  for (size_t i = 0; i < operands.size(); ++i)
    if (needed[i] && made.operands[i]) add(operands[i], emitter_.value(*made.operands[i]));
}

void ReverseMode::differentiate(NodeId id) {
  if (graph_.node(id).op == Op::loop) return differentiate_loop(id);
  const Node node = graph_.node(id);  // a copy: the graph grows
  std::vector<Value> inputs, results, result_gradients;
  for (ValueId input : node.inputs) inputs.push_back(emitter_.value(input));
  for (uint32_t i = 0; i < node.result_count; ++i) {
    results.push_back(emitter_.value(node.result(i)));
    result_gradients.push_back(gradients_[node.result(i)]);
  }
  if (std::ranges::none_of(result_gradients, [](const Value& g) { return bool(g); })) return;
  const Needed needed(node, requires_grad_);
  if (!needed.any()) return;
  const auto rule = row(node.op).gradient;
  if (!rule) throw InternalError(fmt::format("autodiff: {} has no gradient rule", row(node.op).name));

  emitter_.set_location(location_of(node));
  GradientContext context(node.attributes, inputs, results, result_gradients, needed.span());
  rule(context);
  for (size_t i = 0; i < inputs.size(); ++i)
    if (needed[i]) add(node.inputs[i], context.gradients()[i]);
}

}  // namespace calque::passes
