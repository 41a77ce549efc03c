// A backward graph is linear in the gradients that it starts from: an op on absent ones alone gives an absent one, and of a
// sum the rest remains.
#include "compiler/absent_gradients.h"

#include <algorithm>

#include "passes/dce.h"
#include "passes/rewriter.h"

namespace calque {

namespace {

class Remover {
 public:
  Remover(const Differentiation& full, const std::vector<bool>& absent)
      : full_(full), graph_(full.backward.name()), values_(full.backward.value_count()) {
    for (size_t i = 0; i < full.sources.size(); ++i) {
      const ValueId input = full.backward.inputs()[i];
      const Differentiation::Source& source = full.sources[i];
      Carried& value = values_[input];
      value.is_gradient = source.kind == Differentiation::SourceKind::output_gradient;
      value.is_absent = value.is_gradient && absent[source.index];
      if (value.is_absent) continue;
      value.id = graph_.add_input(full.backward.type(input), full.backward.input_name(i));
      sources_.push_back(source);
    }
  }

  Differentiation run() {
    for (const Node& node : full_.backward.nodes()) carry(node);
    Differentiation result;
    result.forward = full_.forward;
    std::vector<ValueId> outputs;
    for (size_t i = 0; i < full_.wanted.size(); ++i) {
      const Carried& value = values_[full_.backward.outputs()[i]];
      if (value.is_absent) continue;
      outputs.push_back(value.id);
      result.wanted.push_back(full_.wanted[i]);
    }
    graph_.set_outputs(std::move(outputs));
    read_inputs_only(passes::dce(graph_), result);
    return result;
  }

 private:
  struct Carried {
    ValueId id = 0;            // in the new graph
    bool is_gradient = false;  // depends on the gradient of an output
    bool is_absent = false;
  };

  /// A saved value whose readers went is not asked for: it may have been written since.
  void read_inputs_only(const Graph& graph, Differentiation& result) const {
    const std::vector<uint32_t> uses = graph.use_counts();
    result.backward = Graph(graph.name());
    std::vector<ValueId> values(graph.value_count());
    for (size_t i = 0; i < sources_.size(); ++i) {
      const ValueId input = graph.inputs()[i];
      if (uses[input] == 0) continue;
      values[input] = result.backward.add_input(graph.type(input), graph.input_name(i));
      result.sources.push_back(sources_[i]);
    }
    for (const Node& node : graph.nodes()) {
      std::vector<ValueId> inputs;
      for (ValueId input : node.inputs) inputs.push_back(values[input]);
      const ValueId first = passes::append_copy(result.backward, node, inputs).first_result;
      for (uint32_t i = 0; i < node.result_count; ++i) values[node.result(i)] = first + i;
    }
    std::vector<ValueId> outputs;
    for (ValueId output : graph.outputs()) outputs.push_back(values[output]);
    result.backward.set_outputs(std::move(outputs));
  }

  void carry(const Node& node) {
    const auto count = [&](auto&& condition) {
      return std::ranges::count_if(node.inputs, [&](ValueId input) { return condition(values_[input]); });
    };
    const auto gradients = count([](const Carried& value) { return value.is_gradient; });
    const auto absent = count([](const Carried& value) { return value.is_absent; });
    if (absent > 0 && absent == gradients) return set_results(node, {0, true, true}, 0);
    if (absent > 0 && node.op == Op::add) {
      const ValueId rest = node.inputs[values_[node.inputs[0]].is_absent ? 1 : 0];
      if (full_.backward.type(rest) == full_.backward.type(node.result())) {
        values_[node.result()] = values_[rest];
        return;
      }
    }
    std::vector<ValueId> inputs;
    for (ValueId input : node.inputs)
      inputs.push_back(values_[input].is_absent ? zeros(full_.backward.type(input)) : values_[input].id);
    const ValueId first = passes::append_copy(graph_, node, inputs).first_result;
    set_results(node, {first, gradients > 0, false}, 1);
  }

  void set_results(const Node& node, Carried value, ValueId step) {
    for (uint32_t i = 0; i < node.result_count; ++i, value.id += step) values_[node.result(i)] = value;
  }

  /// The piece of a joined gradient that nobody gave.
  ValueId zeros(const Type& type) {
    const ValueId zero[] = {graph_.add(Op::full, {}, Attributes::of(0.0, type.dtype, Ints{})).result()};
    return graph_.add(Op::expand, zero, Attributes::of(Ints(type.shape))).result();
  }

  const Differentiation& full_;
  Graph graph_;
  std::vector<Carried> values_;
  std::vector<Differentiation::Source> sources_;
};

}  // namespace

Differentiation without_gradients(const Differentiation& full, const std::vector<bool>& absent) {
  return Remover(full, absent).run();
}

}  // namespace calque
