// Splits the nodes of a loop's block into those before it and those that stay.
#include "passes/loops/hoist.h"

#include <algorithm>

#include "passes/dce.h"
#include "passes/loops/batch.h"
#include "passes/loops/blocks.h"
#include "passes/loops/trim.h"
#include "passes/rewriter.h"

namespace calque::passes {

namespace {

class Hoister {
 public:
  Hoister(Rewriter& rewrite, const Node& loop)
      : rewrite_(rewrite), loop_(loop), body_(*loop.body), form_(LoopForm::of(loop.attributes)),
        depends_(body_.value_count(), Dependence::carried), outside_(body_.value_count()),
        leaves_(body_.nodes().size()) {}

  void run() {
    classify();
    choose();
    if (!std::ranges::count(leaves_, true)) return rewrite_.copy(loop_);
    for (NodeId id = 0; id < leaves_.size(); ++id)
      if (leaves_[id]) move_out(body_.node(id));
    rebuild();
  }

 private:
  enum class Dependence : uint8_t { nothing, sequences, carried };

  void classify() {
    for (size_t i = 0; i < body_.inputs().size(); ++i) {
      const ValueId input = body_.inputs()[i];
      outside_[input] = rewrite_(loop_.inputs[i]);
      depends_[input] = i < form_.carried                   ? Dependence::carried
                        : i < form_.carried + form_.scanned ? Dependence::sequences
                                                            : Dependence::nothing;
    }
    for (const Node& node : body_.nodes()) {
      Dependence dependence = Dependence::nothing;
      std::vector<bool> is_sequence;
      for (ValueId input : node.inputs) {
        dependence = std::max(dependence, depends_[input]);
        is_sequence.push_back(depends_[input] == Dependence::sequences);
      }
      if (node.body) dependence = Dependence::carried;
      if (dependence == Dependence::sequences && !can_batch(body_, node, is_sequence)) dependence = Dependence::carried;
      for (uint32_t i = 0; i < node.result_count; ++i) depends_[node.result(i)] = dependence;
    }
  }

  /// Whether a value is rows of a table (see products_of_rows), seen through views.
  static bool is_taken(const Graph& graph, ValueId value) {
    while (!graph.is_input(value)) {
      const Node& node = graph.node(graph.producer(value));
      if (node.op == Op::take) return true;
      if (row(node.op).kind != OpKind::view) return false;
      value = node.inputs[0];
    }
    return false;
  }

  /// Whether all that is done with a product is to add it to another one that stays.
  bool is_in_sum_of_products(const Node& product) const {
    const Node* reader = nullptr;
    for (const Node& node : body_.nodes())
      for (ValueId input : node.inputs) {
        if (input != product.result()) continue;
        if (reader || node.op != Op::add) return false;
        reader = &node;
      }
    if (!reader || std::ranges::count(body_.outputs(), product.result()) > 0) return false;
    const ValueId other = reader->inputs[reader->inputs[0] == product.result() ? 1 : 0];
    return !body_.is_input(other) && body_.node(body_.producer(other)).op == Op::matmul &&
           depends_[other] == Dependence::carried && body_.type(other) == body_.type(product.result());
  }

  /// Where no step waits for another, all is. A product is quicker for all steps at once, unless it has many rows, which fill tiles as they are, and is added to a product
  /// of the loop: both are then one sum, written once.
  bool is_worth_batching(const Node& node) const {
    constexpr int64_t kManyRows = 16;
    if (form_.carried == 0 || node.op == Op::take) return true;
    if (node.op != Op::matmul) return false;
    const ValueId left = node.inputs[0];
    const Shape& shape = body_.type(left).shape;
    if (depends_[left] != Dependence::sequences || shape.element_count() < kManyRows * shape.back()) return true;
    if (!is_in_sum_of_products(node)) return true;
    return is_taken(body_, left) || (body_.is_input(left) && is_taken(rewrite_.graph(), outside_[left]));
  }

  /// Nodes that are worth it, and those that they read.
  void choose() {
    for (size_t id = leaves_.size(); id-- > 0;) {
      const Node& node = body_.node(static_cast<NodeId>(id));
      const Dependence dependence = depends_[node.result()];
      // Constants stay where kernels have them in registers.
      const bool constant = row(node.op).kind == OpKind::creation;
      if ((dependence == Dependence::nothing && !constant) || (dependence == Dependence::sequences && is_worth_batching(node)))
        leaves_[id] = true;
      if (!leaves_[id]) continue;
      for (ValueId input : node.inputs)
        if (!body_.is_input(input)) leaves_[body_.producer(input)] = true;
    }
  }

  void move_out(const Node& node) {
    std::vector<BatchOperand> operands;
    std::vector<ValueId> inputs, results;
    for (ValueId input : node.inputs) {
      inputs.push_back(outside_[input]);
      operands.push_back({outside_[input], depends_[input] == Dependence::sequences});
    }
    if (depends_[node.result()] == Dependence::sequences)
      results = batch(rewrite_.graph(), body_, node, operands, form_.length);
    else
      for (const Node& added = append_copy(rewrite_.graph(), node, inputs); results.size() < added.result_count;)
        results.push_back(added.result(static_cast<uint32_t>(results.size())));
    std::ranges::copy(results, outside_.begin() + node.first_result);
  }

  /// Whether a result of the loop is a sequence that is there outside of it.
  bool is_there(size_t result) const {
    const ValueId output = body_.outputs()[result];
    return result >= form_.carried && depends_[output] == Dependence::sequences && (body_.is_input(output) || leaves_[body_.producer(output)]);
  }

  /// Values made outside that the block goes on to read, as new sequences and invariants.
  void rebuild() {
    std::vector<ValueId> outputs;
    std::vector<uint32_t> results;  // of the loop, that stay
    for (uint32_t i = 0; i < loop_.result_count; ++i) {
      if (is_there(i)) {
        rewrite_.set(loop_.result(i), outside_[body_.outputs()[i]]);
        continue;
      }
      outputs.push_back(body_.outputs()[i]);
      results.push_back(i);
    }
    if (results.empty()) return;
    std::vector<ValueId> fresh_sequences, fresh_invariants;
    const auto need = [&](ValueId value) {
      if (body_.is_input(value) || !leaves_[body_.producer(value)]) return;
      std::vector<ValueId>& list = depends_[value] == Dependence::sequences ? fresh_sequences : fresh_invariants;
      if (!std::ranges::count(list, value)) list.push_back(value);
    };
    for (NodeId id = 0; id < leaves_.size(); ++id)
      if (!leaves_[id]) std::ranges::for_each(body_.node(id).inputs, need);
    std::ranges::for_each(outputs, need);

    Graph body(body_.name());
    std::vector<ValueId> operands, map(body_.value_count());
    const auto add_input = [&](ValueId value) {
      operands.push_back(outside_[value]);
      map[value] = body.add_input(body_.type(value));
    };
    const auto first_invariant = body_.inputs().begin() + static_cast<std::ptrdiff_t>(form_.carried + form_.scanned);
    std::for_each(body_.inputs().begin(), first_invariant, add_input);
    std::ranges::for_each(fresh_sequences, add_input);
    std::for_each(first_invariant, body_.inputs().end(), add_input);
    std::ranges::for_each(fresh_invariants, add_input);
    for (NodeId id = 0; id < leaves_.size(); ++id) {
      if (leaves_[id]) continue;
      const Node& node = body_.node(id);
      std::vector<ValueId> inputs;
      for (ValueId input : node.inputs) inputs.push_back(map[input]);
      const Node& added = append_copy(body, node, inputs);
      for (uint32_t i = 0; i < node.result_count; ++i) map[node.result(i)] = added.result(i);
    }
    for (ValueId& output : outputs) output = map[output];
    body.set_outputs(std::move(outputs));
    const LoopForm form{form_.length, form_.carried, form_.scanned + fresh_sequences.size(), form_.reverse};
    const ValueId first = rewrite_.graph().add_loop(operands, form, std::move(body), loop_.location).first_result;
    for (uint32_t i = 0; i < results.size(); ++i) rewrite_.set(loop_.result(results[i]), first + i);
  }

  Rewriter& rewrite_;
  const Node& loop_;
  const Graph& body_;
  const LoopForm form_;
  std::vector<Dependence> depends_;  // by value
  std::vector<ValueId> outside_;     // by value: what stands for it before the loop
  std::vector<bool> leaves_;         // by node
};

}  // namespace

Graph hoist(const Graph& graph) {
  if (!has_loops(graph)) return graph;
  Rewriter rewrite(graph);
  for (const Node& node : graph.nodes()) {
    if (node.op == Op::loop) Hoister(rewrite, node).run();
    else rewrite.copy(node);
  }
  return trim_loops(rewrite.finish());
}

}  // namespace calque::passes
