// Differentiates the block of a loop and builds the loop of its gradients around it.
#include "passes/loops/loop_gradient.h"

#include <algorithm>
#include <map>
#include <memory>
#include <set>
#include <utility>

#include "passes/autodiff.h"
#include "passes/loops/batch.h"
#include "passes/rewriter.h"

namespace calque::passes {

namespace {

/// Flags as an array; std::vector<bool> is no span of bool.
class Flags {
 public:
  explicit Flags(size_t size) : flags_(std::make_unique<bool[]>(size)), size_(size) {}
  bool& operator[](size_t i) { return flags_[i]; }
  bool operator[](size_t i) const { return flags_[i]; }
  std::span<const bool> span() const { return {flags_.get(), size_}; }

 private:
  std::unique_ptr<bool[]> flags_;
  size_t size_;
};

/// A product of two values of one step, summed over all steps behind the loop: rows of `left` (as they lie, or transposed)
/// by `right`; both are values of the block's backward.
struct SunkProduct {
  ValueId left, right;
  bool left_is_transposed;
};

class LoopDifferentiator {
 public:
  LoopDifferentiator(Graph& graph, NodeId loop, std::span<const bool> needed,
                     std::span<const std::optional<ValueId>> result_gradients, const void* location)
      : graph_(graph), loop_(graph.node(loop)), body_(*loop_.body), location_(location), form_(LoopForm::of(loop_.attributes)),
        result_gradients_(result_gradients), requires_grad_(needed.size()), active_(body_.outputs().size()) {
    for (size_t i = 0; i < needed.size(); ++i) requires_grad_[i] = needed[i];
    for (size_t i = 0; i < result_gradients.size(); ++i) active_[i] = result_gradients[i].has_value();
  }

  LoopGradient run() {
    LoopGradient result;
    result.operands.resize(loop_.inputs.size());
    spread_requires_grad();
    spread_active();
    if (step_.wanted.empty()) return result;
    result.saving_loop = append_saving_loop();
    plan_sums();
    append_backward_loop();
    for (size_t w = 0; w < step_.wanted.size(); ++w) result.operands[step_.wanted[w]] = gradient_of(w);
    const std::vector<bool> is_seen = first_values_seen();
    for (size_t i = 0; i < form_.carried; ++i)
      if (!is_seen[i]) result.operands[i] = std::nullopt;
    return result;
  }

 private:
  using SourceKind = Differentiation::SourceKind;

  const void* location() const { return location_ ? location_ : loop_.location; }
  bool is_carried(size_t operand) const { return operand < form_.carried; }
  bool is_scanned(size_t operand) const { return !is_carried(operand) && operand < form_.carried + form_.scanned; }

  /// A carried value needs a gradient if its first one does, or if what a step makes of it does.
  void spread_requires_grad() {
    for (bool changed = true; changed;) {
      changed = false;
      const std::vector<bool> flows = values_with_gradient(body_, requires_grad_.span());
      for (size_t i = 0; i < form_.carried; ++i)
        if (flows[body_.outputs()[i]] && !requires_grad_[i]) requires_grad_[i] = changed = true;
    }
  }

  /// A carried value has a gradient if its last one does, or if that of a later step flows into it.
  void spread_active() {
    for (bool changed = true; changed;) {
      changed = false;
      step_ = differentiate(body_, requires_grad_.span(), active_.span());
      for (int wanted : step_.wanted)
        if (is_carried(wanted) && !active_[wanted]) active_[wanted] = changed = true;
    }
  }

  /// Which carried values, as the first step finds them, reach a result that has a gradient.
  std::vector<bool> first_values_seen() const {
    std::vector<std::vector<bool>> flows;  // by carried value: the values of a step that depend on it
    for (size_t i = 0; i < form_.carried; ++i) {
      Flags only(loop_.inputs.size());
      only[i] = requires_grad_[i];
      flows.push_back(values_with_gradient(body_, only.span()));
    }
    std::vector<bool> seen;  // behind the step that is looked at
    for (size_t i = 0; i < form_.carried; ++i) seen.push_back(result_gradients_[i].has_value());
    for (int64_t step = form_.length; step > 0; --step) {
      std::vector<bool> before(form_.carried);
      for (size_t i = 0; i < form_.carried; ++i)
        for (size_t k = 0; k < body_.outputs().size(); ++k)
          if (flows[i][body_.outputs()[k]] && (k < form_.carried ? seen[k] : result_gradients_[k].has_value())) before[i] = true;
      if (before == seen) break;  // and so it stays
      seen = std::move(before);
    }
    return seen;
  }

  /// The loop, stacking also what is read of its values: saved ones, and carried ones as each step began.
  NodeId append_saving_loop() {
    Graph body = step_.forward;
    std::vector<ValueId> outputs(body.outputs().begin(), body.outputs().end());
    for (const Differentiation::Source& source : step_.sources) {
      if (source.kind != SourceKind::input || !is_carried(source.index)) continue;
      entering_[source.index] = outputs.size();
      outputs.push_back(body.inputs()[source.index]);
    }
    body.set_outputs(std::move(outputs));
    first_saving_result_ = graph_.add_loop(loop_.inputs, form_, std::move(body), loop_.location).first_result;
    return graph_.producer(first_saving_result_);
  }

  /// For each gradient of something that all steps share: products to sum behind the loop, or nothing: then it is carried.
  void plan_sums() {
    sunk_.resize(step_.wanted.size());
    summed_rows_.resize(step_.wanted.size());
    const std::vector<uint32_t> uses = step_.backward.use_counts();
    for (size_t w = 0; w < step_.wanted.size(); ++w) {
      if (is_carried(step_.wanted[w]) || is_scanned(step_.wanted[w])) continue;
      if (!collect_products(step_.backward.outputs()[w], uses, sunk_[w])) sunk_[w].clear();
    }
    const std::set<ValueId> factors = stacked_factors();
    for (size_t w = 0; w < step_.wanted.size(); ++w)
      if (is_scanned(step_.wanted[w]) && is_made_of(step_.backward.outputs()[w], factors, uses)) is_made_behind_.insert(w);
    const std::set<ValueId> stacked = stacked_anyway();
    for (size_t w = 0; w < step_.wanted.size(); ++w)
      if (is_shared(w) && sunk_[w].empty()) summed_rows_[w] = rows_summed(step_.backward.outputs()[w], stacked);
  }

  std::set<ValueId> stacked_factors() const {
    std::set<ValueId> factors;
    for (const std::vector<SunkProduct>& products : sunk_)
      for (const SunkProduct& product : products)
        for (ValueId factor : {product.left, product.right})
          if (!is_outside(factor)) factors.insert(factor);
    return factors;
  }
  /// Values of the block's backward that lie there for all steps when the loop is over.
  std::set<ValueId> stacked_anyway() const {
    std::set<ValueId> stacked = stacked_factors();
    for (size_t w = 0; w < step_.wanted.size(); ++w)
      if (is_scanned(step_.wanted[w]) && !is_made_behind_.contains(w)) stacked.insert(step_.backward.outputs()[w]);
    return stacked;
  }
  /// What all steps share, or a view of it.
  bool is_the_same_in_all(ValueId value) const {
    const Graph& graph = step_.backward;
    if (!graph.is_input(value)) {
      const Node& node = graph.node(graph.producer(value));
      return node.op == Op::permute && is_the_same_in_all(node.inputs[0]);
    }
    const size_t input = static_cast<size_t>(std::ranges::find(graph.inputs(), value) - graph.inputs().begin());
    return step_.sources[input].kind == SourceKind::input && !can_stack(value);
  }
  /// Whether nothing but products of such factors with what is the same in all steps is in a value, as in the gradient of a
  /// sequence: one product behind the loop then makes it for all steps.
  bool is_made_of(ValueId value, const std::set<ValueId>& factors, const std::vector<uint32_t>& uses) const {
    const Graph& graph = step_.backward;
    if (graph.is_input(value) || uses[value] != 1) return false;
    const Node& node = graph.node(graph.producer(value));
    const auto is_made = [&](ValueId input) { return is_made_of(input, factors, uses); };
    if (node.op == Op::reshape || node.op == Op::add) return std::ranges::all_of(node.inputs, is_made);
    return node.op == Op::matmul && graph.type(value).shape.rank() == 2 && factors.contains(node.inputs[0]) &&
           is_the_same_in_all(node.inputs[1]);
  }
  /// The value of all steps, behind the loop.
  ValueId made_behind(ValueId value) {
    const Graph& graph = step_.backward;
    if (graph.is_input(value)) return *outside_factor(value);
    const Node& node = graph.node(graph.producer(value));
    if (node.op == Op::permute) return add(Op::permute, {made_behind(node.inputs[0])}, node.attributes);
    std::vector<BatchOperand> operands;
    for (ValueId input : node.inputs) {
      const bool is_shared = is_the_same_in_all(input);
      operands.push_back({is_shared || !stacked_.contains(input) ? made_behind(input) : stack_of(input), !is_shared});
    }
    return batch(graph_, graph, node, operands, form_.length).front();
  }

  /// The matrix among `candidates` whose sum of rows this is, as the gradient of a bias is of that of what it was added to.
  std::optional<ValueId> rows_summed(ValueId value, const std::set<ValueId>& candidates) const {
    const Graph& graph = step_.backward;
    for (;; value = graph.node(graph.producer(value)).inputs[0]) {
      if (graph.is_input(value)) return std::nullopt;
      const Node& node = graph.node(graph.producer(value));
      if (node.op == Op::reshape) continue;
      const bool is_sum = node.op == Op::sum && graph.type(node.inputs[0]).shape.rank() == 2 &&
                          node.attributes == Attributes::of(node.attributes.flag(0), Ints{0});
      if (!is_sum || !candidates.contains(node.inputs[0])) return std::nullopt;
      return node.inputs[0];
    }
  }

  bool collect_products(ValueId value, const std::vector<uint32_t>& uses, std::vector<SunkProduct>& products) const {
    const Graph& graph = step_.backward;
    if (graph.is_input(value) || uses[value] != 1) return false;
    const Node& node = graph.node(graph.producer(value));
    if (node.op == Op::add)
      return graph.type(node.inputs[0]) == graph.type(node.inputs[1]) &&
             collect_products(node.inputs[0], uses, products) && collect_products(node.inputs[1], uses, products);
    if (node.op != Op::matmul || graph.type(value).shape.rank() != 2) return false;
    const Shape &left = graph.type(node.inputs[0]).shape, &right = graph.type(node.inputs[1]).shape;
    if (left[1] > 4 * std::min(left[0], right[1])) return false;  // keeping the factors would cost more than the product
    SunkProduct product{node.inputs[0], node.inputs[1], false};
    if (!graph.is_input(product.left)) {
      const Node& view = graph.node(graph.producer(product.left));
      if (view.op == Op::permute && view.attributes.list(0)[0] == 1) {
        product.left = view.inputs[0];
        product.left_is_transposed = true;
      }
    }
    if (!can_stack(product.left) || !can_stack(product.right)) return false;
    products.push_back(product);
    return true;
  }
  /// What is the same in all steps is not worth stacking.
  bool can_stack(ValueId value) const {
    for (size_t i = 0; i < step_.sources.size(); ++i)
      if (step_.backward.inputs()[i] == value && step_.sources[i].kind == SourceKind::input)
        return is_carried(step_.sources[i].index) || is_scanned(step_.sources[i].index);
    return true;
  }

  void append_backward_loop() {
    Graph body(body_.name() + "_backward");
    std::vector<ValueId> operands, map(step_.backward.value_count());
    std::vector<ValueId> states, sums;  // inputs of the body, in the order of `states_` and `sums_`
    for (size_t i = 0; i < form_.carried; ++i) {
      if (!active_[i]) continue;
      states_.push_back(i);
      operands.push_back(first_gradient(i));
      states.push_back(body.add_input(body_.type(body_.outputs()[i])));
    }
    for (size_t w = 0; w < step_.wanted.size(); ++w) {
      if (!is_shared(w) || !sunk_[w].empty() || summed_rows_[w]) continue;
      sums_.push_back(w);
      const Type type = step_.backward.type(step_.backward.outputs()[w]);
      operands.push_back(nothing(graph_, type));
      sums.push_back(body.add_input(type));
    }
    const size_t carried = operands.size();
    add_sources(body, operands, map, true);
    const size_t scanned = operands.size() - carried;
    add_sources(body, operands, map, false);
    for (size_t i = 0; i < step_.sources.size(); ++i)
      if (const Differentiation::Source source = step_.sources[i];
          source.kind == SourceKind::output_gradient && is_carried(source.index))
        map[step_.backward.inputs()[i]] = states[state_index(source.index)];
    for (const Node& node : step_.backward.nodes()) {
      std::vector<ValueId> inputs;
      for (ValueId input : node.inputs) inputs.push_back(map[input]);
      Node moved = node;
      if (location_) moved.location = location_;
      const Node& added = append_copy(body, moved, inputs);
      for (uint32_t i = 0; i < node.result_count; ++i) map[node.result(i)] = added.result(i);
    }
    body.set_outputs(backward_outputs(body, map, sums));
    const LoopForm form{form_.length, carried, scanned, !form_.reverse};
    first_backward_result_ = graph_.add_loop(operands, form, std::move(body), location()).first_result;
  }

  bool is_shared(size_t w) const { return !is_carried(step_.wanted[w]) && !is_scanned(step_.wanted[w]); }

  /// -0, which changes no number that it is added to.
  static ValueId nothing(Graph& graph, const Type& type) {
    return graph.add(Op::full, {}, Attributes::of(-0.0, type.dtype, Ints(type.shape))).result();
  }
  ValueId first_gradient(size_t state) {
    if (result_gradients_[state]) return *result_gradients_[state];
    return nothing(graph_, body_.type(body_.outputs()[state]));
  }

  /// What a source of the block's backward is outside; none for the gradient of a carried value.
  std::optional<ValueId> outside(const Differentiation::Source& source) const {
    switch (source.kind) {
      case SourceKind::input:
        if (!is_carried(source.index)) return loop_.inputs[source.index];
        return first_saving_result_ + static_cast<ValueId>(entering_.at(source.index));
      case SourceKind::saved:
        return first_saving_result_ + static_cast<ValueId>(body_.outputs().size()) + static_cast<ValueId>(source.index);
      case SourceKind::output_gradient:
        return is_carried(source.index) ? std::nullopt : result_gradients_[source.index];
    }
    return std::nullopt;
  }
  void add_sources(Graph& body, std::vector<ValueId>& operands, std::vector<ValueId>& map, bool sequences) const {
    for (size_t i = 0; i < step_.sources.size(); ++i) {
      const Differentiation::Source& source = step_.sources[i];
      const std::optional<ValueId> value = outside(source);
      const bool shared = source.kind == SourceKind::input && !is_carried(source.index) && !is_scanned(source.index);
      if (!value || shared == sequences) continue;
      operands.push_back(*value);
      map[step_.backward.inputs()[i]] = body.add_input(step_.backward.type(step_.backward.inputs()[i]));
    }
  }

  /// Next gradients of the states, sums so far, gradients of the sequences, factors of the sums behind the loop.
  std::vector<ValueId> backward_outputs(Graph& body, const std::vector<ValueId>& map, const std::vector<ValueId>& sums) {
    std::vector<ValueId> outputs;
    for (size_t state : states_) {
      const auto wanted = std::ranges::find(step_.wanted, static_cast<int>(state));
      outputs.push_back(wanted != step_.wanted.end()
                            ? map[step_.backward.outputs()[wanted - step_.wanted.begin()]]
                            : nothing(body, body_.type(body_.outputs()[state])));
    }
    for (size_t i = 0; i < sums_.size(); ++i) {
      const ValueId terms[] = {sums[i], map[step_.backward.outputs()[sums_[i]]]};
      outputs.push_back(body.add(Op::add, terms).result());
    }
    for (size_t w = 0; w < step_.wanted.size(); ++w) {
      if (!is_scanned(step_.wanted[w]) || is_made_behind_.contains(w)) continue;
      stacked_[step_.backward.outputs()[w]] = outputs.size();
      outputs.push_back(map[step_.backward.outputs()[w]]);
    }
    for (const std::vector<SunkProduct>& products : sunk_)
      for (const SunkProduct& product : products)
        for (ValueId factor : {product.left, product.right}) {
          if (is_outside(factor) || !stacked_.try_emplace(factor, outputs.size()).second) continue;
          outputs.push_back(map[factor]);
        }
    return outputs;
  }
  /// Whether the loop reads this factor as a sequence, so that there is no need to stack it.
  bool is_outside(ValueId factor) const { return outside_factor(factor).has_value(); }
  std::optional<ValueId> outside_factor(ValueId factor) const {
    for (size_t i = 0; i < step_.sources.size(); ++i)
      if (step_.backward.inputs()[i] == factor) return outside(step_.sources[i]);
    return std::nullopt;
  }

  ValueId backward_result(size_t index) const { return first_backward_result_ + static_cast<ValueId>(index); }
  size_t state_index(size_t state) const {
    return static_cast<size_t>(std::ranges::find(states_, state) - states_.begin());
  }

  ValueId gradient_of(size_t w) {
    const auto operand = static_cast<size_t>(step_.wanted[w]);
    if (is_carried(operand)) return backward_result(state_index(operand));
    if (is_made_behind_.contains(w)) return made_behind(step_.backward.outputs()[w]);
    if (is_scanned(operand)) return backward_result(stacked_.at(step_.backward.outputs()[w]));
    if (summed_rows_[w]) return sum_of_all_rows(*summed_rows_[w], step_.backward.type(step_.backward.outputs()[w]).shape);
    if (sunk_[w].empty())
      return backward_result(states_.size() + static_cast<size_t>(std::ranges::find(sums_, w) - sums_.begin()));
    std::optional<ValueId> sum;
    for (const SunkProduct& product : sunk_[w]) {
      const ValueId term = product_of_all_steps(product);
      sum = sum ? add(Op::add, {*sum, term}, {}) : term;
    }
    return *sum;
  }

  ValueId add(Op op, const std::vector<ValueId>& inputs, const Attributes& attributes) {
    return graph_.add(op, inputs, attributes, location()).result();
  }
  ValueId stack_of(ValueId factor) const {
    if (const std::optional<ValueId> known = outside_factor(factor)) return *known;
    return backward_result(stacked_.at(factor));
  }
  ValueId sum_of_all_rows(ValueId matrix, const Shape& shape) {
    const ValueId stack = stack_of(matrix);
    const Shape of_steps = graph_.type(stack).shape;
    const ValueId rows = add(Op::reshape, {stack}, Attributes::of(Ints{of_steps[0] * of_steps[1], of_steps[2]}));
    return add(Op::reshape, {add(Op::sum, {rows}, Attributes::of(false, Ints{0}))}, Attributes::of(Ints(shape)));
  }
  /// The sum over the steps of left_t right_t, as one product over all steps.
  ValueId product_of_all_steps(const SunkProduct& product) {
    const ValueId right = stack_of(product.right);
    const Shape shape = graph_.type(right).shape;
    const int64_t inner = shape[0] * shape[1];
    ValueId left = stack_of(product.left);
    if (product.left_is_transposed) {
      left = add(Op::reshape, {left}, Attributes::of(Ints{inner, graph_.type(left).shape[2]}));
      left = add(Op::permute, {left}, Attributes::of(Ints{1, 0}));
    } else {
      const int64_t rows = graph_.type(left).shape[1];
      left = add(Op::permute, {left}, Attributes::of(Ints{1, 0, 2}));
      left = add(Op::reshape, {left}, Attributes::of(Ints{rows, inner}));
    }
    return add(Op::matmul, {left, add(Op::reshape, {right}, Attributes::of(Ints{inner, shape[2]}))}, {});
  }

  Graph& graph_;
  const Node loop_;  // a copy: the graph grows
  const Graph& body_;
  const void* location_;  // null: the lines of the loop's ops
  const LoopForm form_;
  const std::span<const std::optional<ValueId>> result_gradients_;
  Flags requires_grad_, active_;  // by operand; by result
  Differentiation step_;
  std::map<int, size_t> entering_;  // carried values as each step began: their results of the saving loop
  ValueId first_saving_result_ = 0, first_backward_result_ = 0;
  std::vector<std::vector<SunkProduct>> sunk_;  // by wanted gradient
  std::set<size_t> is_made_behind_;             // wanted gradients of sequences that need no step
  std::vector<std::optional<ValueId>> summed_rows_;  // by wanted gradient: the matrix of a step whose rows of all steps it sums
  std::vector<size_t> states_, sums_;           // what the backward loop carries: by carried value; by wanted gradient
  std::map<ValueId, size_t> stacked_;           // results of the backward loop, by value of the block's backward
};

}  // namespace

LoopGradient append_loop_gradient(Graph& graph, NodeId loop, std::span<const bool> needed,
                                  std::span<const std::optional<ValueId>> result_gradients, const void* location) {
  return LoopDifferentiator(graph, loop, needed, result_gradients, location).run();
}

}  // namespace calque::passes
