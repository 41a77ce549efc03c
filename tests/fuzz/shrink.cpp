// Shrinking: programs written anew without some of their parts.
#include "tests/fuzz/shrink.h"

#include <algorithm>

namespace calque::test {

namespace {

constexpr size_t kNoOutput = ~size_t{0};

/// Writes a program anew without some of it.
class Copier {
 public:
  explicit Copier(const RandomProgram& from)
      : from_(from), values_(from.graph.value_count()), inputs_(from.graph.inputs().size(), -1) {
    copy_.exit = from.exit;
    copy_.resized_from = from.resized_from;
    copy_.resized_to = from.resized_to;
  }

  void copy_inputs(const std::set<ValueId>& left_out) {
    for (size_t i = 0; i < from_.graph.inputs().size(); ++i) {
      const ValueId input = from_.graph.inputs()[i];
      if (left_out.contains(input)) continue;
      inputs_[i] = static_cast<int>(copy_.graph.inputs().size());
      const int same_as = from_.same_as[i] < 0 ? -1 : inputs_[from_.same_as[i]];
      values_[input] = add_input(input, from_.graph.input_name(i), from_.requires_grad[i], from_.is_transposed[i], same_as);
    }
  }
  void results_become_inputs(NodeId id) {
    const Node& node = from_.graph.node(id);
    for (uint32_t i = 0; i < node.result_count; ++i) {
      const ValueId result = node.result(i);
      std::string name = "y" + std::to_string(result);
      while (has_input(name)) name += "_";
      values_[result] = add_input(result, name, is_floating(from_.graph.type(result).dtype), false, -1);
    }
  }
  void copy_nodes(const std::set<NodeId>& left_out) {
    for (NodeId id = 0; id < from_.graph.nodes().size(); ++id) {
      if (id == from_.exit_node) copy_.exit_node = static_cast<NodeId>(copy_.graph.nodes().size());
      if (left_out.contains(id)) continue;
      const Node& node = from_.graph.node(id);
      std::vector<ValueId> inputs;
      for (ValueId input : node.inputs) inputs.push_back(values_[input]);
      const Node& added = copy_.graph.add(node.op, inputs, node.attributes);
      for (uint32_t i = 0; i < node.result_count; ++i) values_[node.result(i)] = added.result(i);
      copy_.steps.push_back(from_.steps[id]);
      if (std::optional<Write>& write = copy_.steps.back().write) *write = {values_[write->target], values_[write->source], write->is_recorded};
      if (std::optional<ValueId>& by = copy_.steps.back().gradient_by) *by = values_[*by];
    }
    if (copy_.exit_node == 0 || copy_.exit_node >= copy_.graph.nodes().size()) copy_.exit = Branch::none;
  }
  RandomProgram finish(size_t left_out_output = kNoOutput) {
    std::vector<ValueId> outputs;
    for (size_t i = 0; i < from_.graph.outputs().size(); ++i)
      if (i != left_out_output) outputs.push_back(values_[from_.graph.outputs()[i]]);
    copy_.graph.set_outputs(std::move(outputs));
    return std::move(copy_);
  }

 private:
  bool has_input(const std::string& name) const {
    for (size_t i = 0; i < copy_.graph.inputs().size(); ++i)
      if (copy_.graph.input_name(i) == name) return true;
    return false;
  }
  ValueId add_input(ValueId value, const std::string& name, bool requires_grad, bool is_transposed, int same_as) {
    copy_.requires_grad.push_back(requires_grad);
    copy_.is_transposed.push_back(is_transposed);
    copy_.same_as.push_back(same_as);
    return copy_.graph.add_input(from_.graph.type(value), name);
  }

  const RandomProgram& from_;
  RandomProgram copy_;
  std::vector<ValueId> values_;
  std::vector<int> inputs_;  // number in the copy; -1: left out
};

/// The program with one thing less that the host does, in every way.
std::vector<RandomProgram> with_a_quieter_host(const RandomProgram& program) {
  std::vector<RandomProgram> candidates;
  const auto add = [&](auto change) {
    candidates.push_back(program);
    change(candidates.back());
  };
  if (program.exit != Branch::none) add([](RandomProgram& p) { p.exit = Branch::none; });
  if (program.resized_from) add([](RandomProgram& p) { p.resized_from = p.resized_to = 0; });
  for (size_t i = 0; i < program.steps.size(); ++i) {
    for (bool HostStep::*flag : {&HostStep::is_read, &HostStep::is_no_grad, &HostStep::is_kept, &HostStep::varies})
      if (program.steps[i].*flag) add([&](RandomProgram& p) { p.steps[i].*flag = false; });
    if (program.steps[i].turn != Branch::none) add([&](RandomProgram& p) { p.steps[i].turn = Branch::none; });
    if (program.steps[i].write) add([&](RandomProgram& p) { p.steps[i].write.reset(); });
    if (program.steps[i].gradient_by) add([&](RandomProgram& p) { p.steps[i].gradient_by.reset(); });
  }
  for (size_t i = 0; i < program.requires_grad.size(); ++i) {
    if (program.requires_grad[i]) add([&](RandomProgram& p) { p.requires_grad[i] = false; });
    if (program.is_transposed[i]) add([&](RandomProgram& p) { p.is_transposed[i] = false; });
    if (program.same_as[i] >= 0) add([&](RandomProgram& p) { p.same_as[i] = -1; });
  }
  return candidates;
}

class Shrinker {
 public:
  Shrinker(RandomProgram program, const std::function<bool(const RandomProgram&)>& fails)
      : program_(std::move(program)), fails_(fails) {}

  RandomProgram run() {
    do {
      smaller_ = false;
      for (size_t chunk = std::max<size_t>(program_.graph.nodes().size() / 2, 1);; chunk /= 2) {
        take_nodes(static_cast<NodeId>(chunk));
        if (chunk == 1 || chunk == 0) break;
      }
      for (size_t i = program_.graph.outputs().size(); i-- > 0 && program_.graph.outputs().size() > 1;)
        take(without_output(program_, i));
      RandomProgram without_inputs = without_unused_inputs(program_);
      if (without_inputs.graph.inputs().size() < program_.graph.inputs().size()) take(std::move(without_inputs));
      for (bool taken = true; taken;) {
        taken = false;
        for (RandomProgram& candidate : with_a_quieter_host(program_))
          if ((taken = take(std::move(candidate)))) break;
      }
    } while (smaller_);
    return std::move(program_);
  }

 private:
  bool take(RandomProgram candidate) {
    if (!fails_(candidate)) return false;
    program_ = std::move(candidate);
    return smaller_ = true;
  }
  /// Later nodes first: what reads goes before what is read.
  void take_nodes(NodeId chunk) {
    for (NodeId end = static_cast<NodeId>(program_.graph.nodes().size()); end > 0;) {
      const NodeId begin = end > chunk ? end - chunk : 0;
      std::set<NodeId> ids;
      for (NodeId id = begin; id < end; ++id) ids.insert(id);
      take(without_nodes(program_, ids));
      end = begin;
    }
  }

  RandomProgram program_;
  const std::function<bool(const RandomProgram&)>& fails_;
  bool smaller_ = false;
};

}  // namespace

RandomProgram without_nodes(const RandomProgram& program, const std::set<NodeId>& ids) {
  Copier copier(program);
  copier.copy_inputs({});
  for (NodeId id : ids) copier.results_become_inputs(id);
  copier.copy_nodes(ids);
  return copier.finish();
}

RandomProgram without_output(const RandomProgram& program, size_t i) {
  Copier copier(program);
  copier.copy_inputs({});
  copier.copy_nodes({});
  return copier.finish(i);
}

RandomProgram without_unused_inputs(const RandomProgram& program) {
  std::vector<uint32_t> uses = program.graph.use_counts();
  for (const HostStep& step : program.steps)
    if (step.write) ++uses[step.write->target], ++uses[step.write->source];
  for (const HostStep& step : program.steps)
    if (step.gradient_by) ++uses[*step.gradient_by];
  std::set<ValueId> unused;
  for (ValueId input : program.graph.inputs())
    if (uses[input] == 0) unused.insert(input);
  Copier copier(program);
  copier.copy_inputs(unused);
  copier.copy_nodes({});
  return copier.finish();
}

RandomProgram shrunk(RandomProgram program, const std::function<bool(const RandomProgram&)>& fails) {
  return Shrinker(std::move(program), fails).run();
}

}  // namespace calque::test
