// Makes random programs.
#include "tests/fuzz/random_program.h"

#include <algorithm>
#include <bit>
#include <iterator>

#include "ir/op/error.h"

namespace calque::test {

namespace {

constexpr int64_t kMostElements = 10000;  // of a value: the interpreter is slow

bool fits(const Graph& graph, const Write& write) {
  const Type &target = graph.type(write.target), &source = graph.type(write.source);
  try {
    return write.target != write.source && target.dtype == source.dtype &&
           broadcast_shapes(source.shape, target.shape, "fuzz") == target.shape;
  } catch (const UserError&) {
    return false;
  }
}

bool reads_indices(Op op) {
  return row(op).kind == OpKind::indexing || op == Op::index_select || op == Op::cross_entropy;
}

/// How many rows an index may name.
int64_t rows_indexed(const Graph& graph, Op op, const std::vector<ValueId>& inputs, Attributes attributes) {
  const Shape& shape = graph.type(inputs[0]).shape;
  if (op == Op::cross_entropy) return shape.rank() < 2 ? 0 : shape[1];
  if (op == Op::index_select) return shape.rank() == 0 ? 0 : shape[normalize_axis(attributes[0], shape.rank(), "fuzz")];
  const Type types[] = {graph.type(inputs[0]), graph.type(inputs[1])};
  infer(op, types, attributes);
  return index_bound(op, types, attributes);
}

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
    choose_writes();
    choose_gradients();
    choose_other_sizes();
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
    if (one_in(6)) {  // the state of random ops comes first
      graph().add_input({DType::i64, {2}});
      program_.requires_grad.push_back(false);
      program_.is_transposed.push_back(false);
      program_.same_as.push_back(-1);
    }
    for (int64_t i = 0; i < count; ++i) {
      const DType dtype = one_in(10) ? DType::f64 : one_in(8) ? (one_in(2) ? DType::i64 : DType::i32) : DType::f32;
      graph().add_input({dtype, one_in(16) ? rare[pick(std::size(rare))] : common[pick(std::size(common))]});
      program_.requires_grad.push_back(is_floating(dtype) && !one_in(3));
      program_.is_transposed.push_back(one_in(6));
      program_.same_as.push_back(one_in(8) ? earlier_input_like_the_last() : -1);
    }
  }

  /// One of the type of the last, which lies in memory the same way; -1 if there is none.
  int earlier_input_like_the_last() {
    const size_t last = graph().inputs().size() - 1;
    for (size_t i = 0; i < last; ++i) {
      if (type(graph().inputs()[i]) != type(graph().inputs()[last])) continue;
      program_.requires_grad[last] = program_.requires_grad[i];
      return static_cast<int>(i);
    }
    return -1;
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
    if (reads_indices(op)) choose_index(inputs);
    const Attributes attributes = any_attributes(op, inputs);
    if (!inputs.empty() && row(op).kind == OpKind::composite && !fits_types(op, inputs, attributes)) {
      inputs.back() = graph().inputs()[0];  // of a random op, say, which takes its state last
    }
    if (reads_indices(op) && rows_indexed(graph(), op, inputs, attributes) <= kLargestIndex)
      throw UserError("fuzz: an index would be out of range");
    for (const Type& result : result_types(op, inputs, attributes))
      if (result.shape.element_count() > kMostElements) throw UserError("fuzz: the result is too large");
    graph().add(op, inputs, attributes);
  }

  bool fits_types(Op op, const std::vector<ValueId>& inputs, const Attributes& attributes) {
    try {
      result_types(op, inputs, attributes);
      return true;
    } catch (const UserError&) {
      return false;
    }
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
    const bool reads = one_in(4), no_grad = one_in(6), keeps = one_in(3), varies = one_in(2), turns = one_in(4);
    for (const Node& node : graph().nodes()) {
      HostStep step{reads && one_in(8), no_grad && one_in(4), keeps && one_in(5), varies && node.op == Op::full, {}, {}, {}};
      if (turns && one_in(6)) step.turn = one_in(2) ? Branch::by_counter : Branch::by_data;
      program_.steps.push_back(step);
    }
    if (!one_in(4) || graph().nodes().size() < 2) return;
    program_.exit = one_in(2) ? Branch::by_counter : Branch::by_data;
    program_.exit_node = static_cast<NodeId>(1 + pick(static_cast<int64_t>(graph().nodes().size()) - 1));
  }

  void choose_writes() {
    if (!one_in(4)) return;
    const std::vector<bool> overlaps = overlapping(), leaves = showing_leaves();
    for (NodeId id = 0; id < graph().nodes().size(); ++id) {
      if (!one_in(6)) continue;
      const ValueId count = graph().node(id).result(0) + graph().node(id).result_count;
      for (int attempt = 0; attempt < 20 && !program_.steps[id].write; ++attempt) {
        Write write{static_cast<ValueId>(pick(count)), static_cast<ValueId>(pick(count))};
        write.is_recorded = one_in(2) && (!leaves[write.target] || one_in(20));
        if (fits(graph(), write) && !overlaps[write.target]) program_.steps[id].write = write;
      }
    }
  }
  void choose_gradients() {
    if (!one_in(4)) return;
    for (NodeId id = 0; id < graph().nodes().size(); ++id)
      if (one_in(4)) program_.steps[id].gradient_by = static_cast<ValueId>(pick(graph().node(id).result(0) + 1));
  }
  /// Inputs that require a gradient, and views of them: writing to them is refused while ops are recorded.
  std::vector<bool> showing_leaves() {
    std::vector<bool> shows(graph().value_count(), false);
    for (size_t i = 0; i < graph().inputs().size(); ++i) shows[graph().inputs()[i]] = program_.requires_grad[i];
    for (const Node& node : graph().nodes())
      for (uint32_t i = 0; i < node.result_count && !node.inputs.empty(); ++i)
        shows[node.result(i)] = row(node.op).kind == OpKind::view && shows[node.inputs[0]];
    return shows;
  }
  /// Values that may hold one element at several places: writing to them in place has no meaning.
  std::vector<bool> overlapping() {
    std::vector<bool> overlaps(graph().value_count(), false);
    for (const Node& node : graph().nodes()) {
      bool any = node.op == Op::expand;
      if (row(node.op).kind == OpKind::view || row(node.op).kind == OpKind::composite)
        for (ValueId input : node.inputs) any = any || overlaps[input];
      for (uint32_t i = 0; i < node.result_count; ++i) overlaps[node.result(i)] = any;
    }
    return overlaps;
  }

  void choose_other_sizes() {
    if (!one_in(4)) return;
    const int64_t from[] = {4, 6, 37, 3, 2, 1, 5}, to[] = {5, 7, 3, 9, 1, 0, 38, 4};
    program_.resized_from = from[pick(std::size(from))];
    program_.resized_to = to[pick(std::size(to))];
    if (program_.resized_from == program_.resized_to || !resized(program_)) program_.resized_from = program_.resized_to = 0;
  }

  std::mt19937& random_;
  RandomProgram program_;
};


}  // namespace

RandomProgram random_program(std::mt19937& random, int nodes) { return Generator(random, nodes).take(); }

std::optional<RandomProgram> resized(const RandomProgram& program) {
  const auto resize = [&](int64_t size) { return size == program.resized_from ? program.resized_to : size; };
  RandomProgram other = program;
  other.graph = Graph("random");
  try {
    for (size_t i = 0; i < program.graph.inputs().size(); ++i) {
      Type type = program.graph.type(program.graph.inputs()[i]);
      for (int axis = 0; axis < type.shape.rank(); ++axis) type.shape.set(axis, resize(type.shape[axis]));
      other.graph.add_input(type, program.graph.input_name(i));
    }
    for (const Node& node : program.graph.nodes()) {
      Attributes attributes = node.attributes;
      for (size_t i = 0; i < row(node.op).attributes.size(); ++i)
        if (row(node.op).attributes[i].name == std::string_view("shape"))
          for (int word = static_cast<int>(i); word < attributes.size(); ++word) attributes.set(word, resize(attributes[word]));
      const Node& added = other.graph.add(node.op, node.inputs, attributes);
      if (added.result_count != node.result_count || 
          (reads_indices(node.op) && rows_indexed(other.graph, node.op, node.inputs, attributes) <= kLargestIndex)) return std::nullopt;
      for (uint32_t i = 0; i < added.result_count; ++i)
        if (other.graph.type(added.result(i)).shape.element_count() > kMostElements) return std::nullopt;
    }
  } catch (const UserError&) {
    return std::nullopt;  // a shape that the program spells out, say
  }
  for (const HostStep& step : program.steps)
    if (step.write && !fits(other.graph, *step.write)) return std::nullopt;
  other.graph.set_outputs({program.graph.outputs().begin(), program.graph.outputs().end()});
  return other;
}

}  // namespace calque::test
