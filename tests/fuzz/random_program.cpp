// Makes, prints, parses and cuts down random programs.
#include "tests/fuzz/random_program.h"

#include <algorithm>
#include <bit>
#include <iterator>
#include <set>
#include <sstream>

#include "ir/graph/parser.h"
#include "ir/graph/printer.h"
#include "ir/op/error.h"

namespace calque::test {

namespace {

constexpr int64_t kMostElements = 10000;  // of a value: the interpreter is slow

/// Picks ops at random; what does not fit throws UserError and is forgotten.
class Generator {
 public:
  Generator(std::mt19937& random, int nodes) : random_(random) {
    add_inputs();
    const size_t wanted = 3 + pick(nodes - 2);
    for (int attempt = 0; attempt < 400 && graph().nodes().size() < wanted; ++attempt) {
      try {
        add_node();
      } catch (const UserError&) {
        // shapes or dtypes do not fit this op: another is picked
      }
    }
    choose_outputs();
    choose_host_steps();
  }
  RandomProgram take() { return std::move(program_); }

 private:
  Graph& graph() { return program_.graph; }
  int64_t pick(int64_t count) { return static_cast<int64_t>(random_() % static_cast<uint64_t>(count)); }
  bool one_in(int64_t count) { return pick(count) == 0; }
  const Type& type(ValueId value) { return graph().type(value); }

  void add_inputs() {
    // Small ones that fit each other; rarely ones over the blocks of reductions, or without elements.
    const Shape common[] = {{4, 6}, {4, 1}, {6}, {}, {1, 6}, {2, 4, 6}, {2, 1, 6}, {6, 4}, {4, 4}, {3}, {5, 37}, {37}, {37, 20}};
    const Shape rare[] = {{0, 6}, {130, 6}, {6, 130}, {4200}, {2, 4200}, {70, 65}, {1}, {2, 3, 2, 1, 6}};
    const int64_t count = 2 + pick(4);
    for (int64_t i = 0; i < count; ++i) {
      const DType dtype = one_in(10) ? DType::f64 : one_in(8) ? (one_in(2) ? DType::i64 : DType::i32) : DType::f32;
      graph().add_input({dtype, one_in(16) ? rare[pick(std::size(rare))] : common[pick(std::size(common))]});
      program_.requires_grad.push_back(is_floating(dtype) && !one_in(3));
      program_.is_transposed.push_back(one_in(6));
    }
  }

  /// Recent values more often, so that programs grow deep.
  ValueId any_value() {
    const int64_t count = static_cast<int64_t>(graph().value_count());
    return static_cast<ValueId>(one_in(2) ? pick(count) : count - 1 - pick(std::min<int64_t>(count, 5)));
  }

  Op any_op() {
    for (;;) {
      const Op op = static_cast<Op>(pick(kOpCount));
      const OpRow& entry = row(op);
      // Constants are dull: fewer of them.
      if (!entry.ir_only && (entry.kind != OpKind::creation || one_in(3))) return op;
    }
  }

  void add_node() {
    const Op op = any_op();
    std::vector<ValueId> inputs;
    const int64_t count = row(op).inputs == OpRow::kVariadic ? 1 + pick(3) : row(op).inputs;
    for (int64_t i = 0; i < count; ++i) inputs.push_back(any_value());
    if (op == Op::where || row(op).signature == Signature::logical) make_masks(op, inputs);
    const bool reads_indices = row(op).kind == OpKind::indexing || op == Op::index_select || op == Op::cross_entropy;
    if (reads_indices) choose_index(inputs);
    const Attributes attributes = any_attributes(op, inputs);
    if (reads_indices && rows_indexed(op, inputs, attributes) <= kLargestIndex)
      throw UserError("fuzz: an index would be out of range");
    for (const Type& result : result_types(op, inputs, attributes))
      if (result.shape.element_count() > kMostElements) throw UserError("fuzz: the result is too large");
    graph().add(op, inputs, attributes);
  }

  std::vector<Type> result_types(Op op, const std::vector<ValueId>& inputs, Attributes attributes) {
    std::vector<Type> types;
    for (ValueId input : inputs) types.push_back(type(input));
    return infer(op, types, attributes);
  }

  void make_masks(Op op, std::vector<ValueId>& inputs) {
    for (size_t i = 0; i < (op == Op::where ? 1 : inputs.size()); ++i) {
      std::vector<ValueId> masks;
      for (ValueId value = 0; value < graph().value_count(); ++value)
        if (type(value).dtype == DType::boolean) masks.push_back(value);
      if (masks.empty() || one_in(3)) {
        const ValueId compared[] = {any_value(), any_value()};
        masks = {graph().add(Op::less, compared).result()};
      }
      inputs[i] = masks[pick(masks.size())];
    }
  }

  /// Indices come straight from an input, whose elements are small.
  void choose_index(std::vector<ValueId>& inputs) {
    std::vector<ValueId> indices;
    for (ValueId input : graph().inputs())
      if (type(input).dtype == DType::i64 || type(input).dtype == DType::i32) indices.push_back(input);
    if (indices.empty()) throw UserError("fuzz: no indices");
    inputs[1] = indices[pick(indices.size())];
  }

  /// How many rows an index may name.
  int64_t rows_indexed(Op op, const std::vector<ValueId>& inputs, Attributes attributes) {
    const Shape& shape = type(inputs[0]).shape;
    if (op == Op::cross_entropy) return shape.rank() < 2 ? 0 : shape[1];
    if (op == Op::index_select) return shape.rank() == 0 ? 0 : shape[normalize_axis(attributes[0], shape.rank(), "fuzz")];
    const Type types[] = {type(inputs[0]), type(inputs[1])};
    infer(op, types, attributes);
    return index_bound(op, types, attributes);
  }

  int64_t any_axis(const Shape& shape) { return shape.rank() == 0 ? 0 : pick(2 * shape.rank()) - shape.rank(); }

  /// Attributes by what the specification of the row calls them.
  Attributes any_attributes(Op op, const std::vector<ValueId>& inputs) {
    const Shape shape = inputs.empty() ? Shape{} : type(inputs[0]).shape;
    Attributes attributes;
    for (const AttributeSpec& spec : row(op).attributes) {
      const std::string_view name = spec.name;
      switch (spec.kind) {
        case AttributeKind::boolean: attributes.add_word(pick(2)); break;
        case AttributeKind::dtype:
          attributes.add_word(static_cast<int64_t>(one_in(2) ? DType::f32 : kAllDTypes[pick(std::size(kAllDTypes))]));
          break;
        case AttributeKind::number:
          attributes.add_word(std::bit_cast<int64_t>(name == "epsilon" ? 1e-5 : 0.25 * static_cast<double>(pick(17)) - 2));
          break;
        case AttributeKind::integer:
          attributes.add_word(name == "axis" ? any_axis(shape) : name == "rows" || name == "size" ? kLargestIndex + 1 + pick(3) : pick(6));
          break;
        case AttributeKind::integers: {
          const std::vector<int64_t> list = any_list(op, name, shape);
          attributes.set_list(attributes.size(), list);
        }
      }
    }
    return attributes;
  }

  std::vector<int64_t> any_list(Op op, std::string_view name, const Shape& shape) {
    std::vector<int64_t> list(shape.begin(), shape.end());
    if (op == Op::permute) {
      for (size_t i = 0; i < list.size(); ++i) list[i] = static_cast<int64_t>(i);
      for (size_t i = list.size(); i > 1; --i) std::swap(list[i - 1], list[pick(i)]);
    } else if (name == "axes") {
      list.clear();
      for (int axis = 0; axis < shape.rank(); ++axis)
        if (one_in(2)) list.push_back(axis);
    } else if (op == Op::reshape) {
      reshape(list);
    } else {
      for (int64_t& size : list)
        if (size == 1 && one_in(2)) size = 1 + pick(4);
      if (list.size() < 3 && one_in(2)) list.insert(list.begin(), 1 + pick(4));
    }
    return list;
  }

  /// Merges two axes, cuts one in two, adds one of size 1, or flattens.
  void reshape(std::vector<int64_t>& list) {
    const size_t axis = list.empty() ? 0 : pick(list.size());
    switch (pick(4)) {
      case 0: list = {-1}; break;
      case 1: list.insert(list.begin() + static_cast<std::ptrdiff_t>(axis), 1); break;
      case 2:
        if (axis + 1 >= list.size()) break;
        list[axis] *= list[axis + 1];
        list.erase(list.begin() + static_cast<std::ptrdiff_t>(axis) + 1);
        break;
      default:
        if (list.empty() || list[axis] == 0 || list[axis] % 2 != 0) break;
        list[axis] /= 2;
        list.insert(list.begin() + static_cast<std::ptrdiff_t>(axis), 2);
    }
  }

  void choose_outputs() {
    std::vector<ValueId> outputs;
    const int64_t count = 1 + pick(4);
    for (int64_t i = 0; i < count; ++i) outputs.push_back(any_value());
    graph().set_outputs(std::move(outputs));
  }

  void choose_host_steps() {
    const bool reads = one_in(4), no_grad = one_in(6), keeps = one_in(3), varies = one_in(2);
    for (const Node& node : graph().nodes()) {
      const bool is_number = node.op == Op::full;
      program_.steps.push_back({reads && one_in(8), no_grad && one_in(4), keeps && one_in(5), varies && is_number});
    }
    if (!one_in(4) || graph().nodes().size() < 2) return;
    program_.exit = one_in(2) ? Exit::by_counter : Exit::by_data;
    program_.exit_node = static_cast<NodeId>(1 + pick(static_cast<int64_t>(graph().nodes().size()) - 1));
  }

  std::mt19937& random_;
  RandomProgram program_;
};

/// Writes a program anew without some of it.
class Copier {
 public:
  explicit Copier(const RandomProgram& from) : from_(from), values_(from.graph.value_count()) {
    copy_.exit = from.exit;
  }

  void copy_inputs(const std::set<ValueId>& left_out) {
    for (size_t i = 0; i < from_.graph.inputs().size(); ++i) {
      const ValueId input = from_.graph.inputs()[i];
      if (left_out.contains(input)) continue;
      values_[input] = add_input(input, from_.graph.input_name(i), from_.requires_grad[i], from_.is_transposed[i]);
    }
  }
  void results_become_inputs(const Node& node) {
    for (uint32_t i = 0; i < node.result_count; ++i) {
      const ValueId result = node.result(i);
      // No program that this one is cut down to has as many nodes.
      const std::string name = "y" + std::to_string(from_.graph.nodes().size()) + "_" + std::to_string(i);
      values_[result] = add_input(result, name, is_floating(from_.graph.type(result).dtype), false);
    }
  }
  void copy_nodes(NodeId left_out) {
    for (NodeId id = 0; id < from_.graph.nodes().size(); ++id) {
      if (id == from_.exit_node) copy_.exit_node = static_cast<NodeId>(copy_.graph.nodes().size());
      if (id == left_out) continue;
      const Node& node = from_.graph.node(id);
      std::vector<ValueId> inputs;
      for (ValueId input : node.inputs) inputs.push_back(values_[input]);
      const Node& added = copy_.graph.add(node.op, inputs, node.attributes);
      for (uint32_t i = 0; i < node.result_count; ++i) values_[node.result(i)] = added.result(i);
      copy_.steps.push_back(from_.steps[id]);
    }
    if (copy_.exit_node == 0 || copy_.exit_node >= copy_.graph.nodes().size()) copy_.exit = Exit::never;
  }
  RandomProgram finish(size_t left_out_output) {
    std::vector<ValueId> outputs;
    for (size_t i = 0; i < from_.graph.outputs().size(); ++i)
      if (i != left_out_output) outputs.push_back(values_[from_.graph.outputs()[i]]);
    copy_.graph.set_outputs(std::move(outputs));
    return std::move(copy_);
  }

 private:
  ValueId add_input(ValueId value, const std::string& name, bool requires_grad, bool is_transposed) {
    copy_.requires_grad.push_back(requires_grad);
    copy_.is_transposed.push_back(is_transposed);
    return copy_.graph.add_input(from_.graph.type(value), name);
  }

  const RandomProgram& from_;
  RandomProgram copy_;
  std::vector<ValueId> values_;
};

constexpr size_t kNoOutput = ~size_t{0};

}  // namespace

RandomProgram random_program(std::mt19937& random, int nodes) { return Generator(random, nodes).take(); }

RandomProgram without_node(const RandomProgram& program, NodeId id) {
  Copier copier(program);
  copier.copy_inputs({});
  copier.results_become_inputs(program.graph.node(id));
  copier.copy_nodes(id);
  return copier.finish(kNoOutput);
}

RandomProgram without_output(const RandomProgram& program, size_t i) {
  Copier copier(program);
  copier.copy_inputs({});
  copier.copy_nodes(kNoNode);
  return copier.finish(i);
}

RandomProgram without_unused_inputs(const RandomProgram& program) {
  const std::vector<uint32_t> uses = program.graph.use_counts();
  std::set<ValueId> unused;
  for (ValueId input : program.graph.inputs())
    if (uses[input] == 0) unused.insert(input);
  Copier copier(program);
  copier.copy_inputs(unused);
  copier.copy_nodes(kNoNode);
  return copier.finish(kNoOutput);
}

// --- text

std::string print_program(const RandomProgram& program) {
  std::string text;
  const auto line = [&](const char* what, const auto& holds, size_t count) {
    std::string numbers;
    for (size_t i = 0; i < count; ++i)
      if (holds(i)) numbers += " " + std::to_string(i);
    if (!numbers.empty()) text += std::string("//! ") + what + numbers + "\n";
  };
  const std::vector<HostStep>& steps = program.steps;
  line("read", [&](size_t i) { return steps[i].is_read; }, steps.size());
  line("no_grad", [&](size_t i) { return steps[i].is_no_grad; }, steps.size());
  line("keep", [&](size_t i) { return steps[i].is_kept; }, steps.size());
  line("vary", [&](size_t i) { return steps[i].varies; }, steps.size());
  line("requires_grad", [&](size_t i) { return program.requires_grad[i]; }, program.requires_grad.size());
  line("transposed", [&](size_t i) { return program.is_transposed[i]; }, program.is_transposed.size());
  const auto is_exit = [&](size_t i) { return i == program.exit_node; };
  if (program.exit == Exit::by_counter) line("exit_by_counter", is_exit, steps.size());
  if (program.exit == Exit::by_data) line("exit_by_data", is_exit, steps.size());
  return text + print(program.graph);
}

RandomProgram parse_program(std::string_view text) {
  RandomProgram program;
  program.graph = parse(text);
  program.steps.resize(program.graph.nodes().size());
  program.requires_grad.resize(program.graph.inputs().size());
  program.is_transposed.resize(program.graph.inputs().size());
  std::istringstream lines{std::string(text)};
  for (std::string line; std::getline(lines, line);) {
    if (!line.starts_with("//! ")) continue;
    std::istringstream words(line.substr(4));
    std::string what;
    words >> what;
    const bool is_input = what == "requires_grad" || what == "transposed";
    for (size_t i; words >> i;) {
      if (i >= (is_input ? program.requires_grad.size() : program.steps.size()))
        throw UserError("fuzz: a number is out of range: " + line);
      if (what == "read") program.steps[i].is_read = true;
      else if (what == "no_grad") program.steps[i].is_no_grad = true;
      else if (what == "keep") program.steps[i].is_kept = true;
      else if (what == "vary") program.steps[i].varies = true;
      else if (what == "requires_grad") program.requires_grad[i] = true;
      else if (what == "transposed") program.is_transposed[i] = true;
      else if (what == "exit_by_counter" || what == "exit_by_data") {
        program.exit = what == "exit_by_data" ? Exit::by_data : Exit::by_counter;
        program.exit_node = static_cast<NodeId>(i);
      } else {
        throw UserError("fuzz: an unknown line: " + line);
      }
    }
  }
  return program;
}

}  // namespace calque::test
