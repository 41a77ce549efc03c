// The rules of simplify, one function for each family. Each looks at a node whose operands are simplified
// already and gives the value that replaces its result.
#include "passes/simplify.h"

#include <algorithm>
#include <cmath>
#include <optional>

#include "ir/op/scalar/program.h"
#include "passes/dce.h"
#include "passes/rewriter.h"

namespace calque::passes {

namespace {

using Replacement = std::optional<ValueId>;

/// A node under consideration, with its operands in the graph that is being built.
struct Match {
  Graph& graph;
  const Node& node;  // of the source: op, attributes, location
  std::vector<ValueId> inputs;

  const Type& type(ValueId value) const { return graph.type(value); }
  /// The node that makes operand i if it is `op`; null otherwise.
  const Node* made_by(Op op, int i) const { return producer_if(op, inputs[i]); }
  const Node* producer_if(Op op, ValueId value) const {
    if (graph.is_input(value)) return nullptr;
    const Node& made = graph.node(graph.producer(value));
    return made.op == op ? &made : nullptr;
  }
  /// Operand i is everywhere this number, with its sign if it is zero.
  bool is(int i, double number) const {
    const Node* full = made_by(Op::full, i);
    return full && full->attributes.number(0) == number &&
           std::signbit(full->attributes.number(0)) == std::signbit(number);
  }
  ValueId add(Op op, std::initializer_list<ValueId> operands, const Attributes& attributes) const {
    return graph.add(op, std::span(operands.begin(), operands.size()), attributes, node.location).result();
  }
};

/// x * 1, x / 1, x + -0, x - 0, -(-x), not not x, where(m, x, x), max(x, x). In integers, x + 0 as well.
Replacement identity_of_algebra(const Match& m) {
  const bool integer = !is_floating(m.type(m.inputs[0]).dtype);
  switch (m.node.op) {
    case Op::mul:
      if (m.is(1, 1.0)) return m.inputs[0];
      if (m.is(0, 1.0)) return m.inputs[1];
      return {};
    case Op::div:
      return m.is(1, 1.0) ? Replacement(m.inputs[0]) : Replacement();
    case Op::add:
      if (m.is(1, -0.0) || (integer && m.is(1, 0.0))) return m.inputs[0];
      if (m.is(0, -0.0) || (integer && m.is(0, 0.0))) return m.inputs[1];
      return {};
    case Op::sub:
      return m.is(1, 0.0) ? Replacement(m.inputs[0]) : Replacement();
    case Op::neg:
    case Op::logical_not:
      if (const Node* inner = m.made_by(m.node.op, 0)) return inner->inputs[0];
      return {};
    case Op::where:
      if (m.inputs[1] == m.inputs[2]) return m.inputs[1];
      if (const Node* mask = m.made_by(Op::full, 0)) return m.inputs[mask->attributes.number(0) != 0 ? 1 : 2];
      return {};
    case Op::maximum:
    case Op::minimum:
      return m.inputs[0] == m.inputs[1] ? Replacement(m.inputs[0]) : Replacement();
    default:
      return {};
  }
}

/// A view that gives all of its operand as it is, a cast to the same dtype, a concat of one, a pad by
/// nothing; a detach, which has done its work once there is nothing left to differentiate.
Replacement view_of_nothing(const Match& m, const Type& result) {
  switch (m.node.op) {
    case Op::reshape:
    case Op::expand:
    case Op::slice:
    case Op::pad:
    case Op::cast:
    case Op::concat: {
      const bool same = m.inputs.size() == 1 && m.type(m.inputs[0]) == result;
      return same ? Replacement(m.inputs[0]) : Replacement();
    }
    case Op::detach:
      return m.inputs[0];
    case Op::split:
      return m.node.attributes[0] == 1 ? Replacement(m.inputs[0]) : Replacement();
    case Op::permute: {
      const std::span<const int64_t> axes = m.node.attributes.list(0);
      return std::ranges::is_sorted(axes) ? Replacement(m.inputs[0]) : Replacement();
    }
    default:
      return {};
  }
}

/// Two views of the same kind in a row are one.
Replacement view_of_view(const Match& m) {
  const Attributes& outer = m.node.attributes;
  if (m.inputs.size() != 1) return {};
  const Node* inner = m.made_by(m.node.op, 0);
  if (!inner) return {};
  switch (m.node.op) {
    case Op::reshape:
    case Op::expand:
      return m.add(m.node.op, {inner->inputs[0]}, outer);
    case Op::permute: {
      std::vector<int64_t> axes;
      for (int64_t axis : outer.list(0)) axes.push_back(inner->attributes[static_cast<int>(axis)]);
      if (std::ranges::is_sorted(axes)) return inner->inputs[0];
      return m.add(Op::permute, {inner->inputs[0]}, Attributes::of(Ints(axes)));
    }
    case Op::slice: {
      if (outer[0] != inner->attributes[0]) return {};
      const int64_t start = inner->attributes[1];
      return m.add(Op::slice, {inner->inputs[0]},
                   Attributes::of(outer[0], start + outer[1], start + outer[2]));
    }
    default:
      return {};
  }
}

/// A view of a constant is a constant.
Replacement view_of_full(const Match& m, const Type& result) {
  const bool movable = row(m.node.op).kind == OpKind::view && m.node.op != Op::split;
  const Node* full = movable ? m.made_by(Op::full, 0) : nullptr;
  if (!full) return {};
  return m.add(Op::full, {}, Attributes::of(full->attributes.number(0), result.dtype, Ints(result.shape)));
}

/// An expand of one element under another shape is another expand of it.
Replacement reshape_of_repeated(const Match& m, const Type& result) {
  const Node* expand =
      m.node.op == Op::reshape || m.node.op == Op::permute ? m.made_by(Op::expand, 0) : nullptr;
  if (!expand) return {};
  const Shape one = m.type(expand->inputs[0]).shape;
  if (one.element_count() != 1 || one.rank() > result.shape.rank()) return {};
  return m.add(Op::expand, {expand->inputs[0]}, Attributes::of(Ints(result.shape)));
}

/// A slice of a concat that is one of its pieces is that piece.
Replacement slice_of_concat(const Match& m) {
  const Node* whole = m.node.op == Op::slice ? m.made_by(Op::concat, 0) : nullptr;
  if (!whole || whole->attributes[0] != m.node.attributes[0]) return {};
  int64_t start = 0;
  for (ValueId piece : whole->inputs) {
    const int64_t size = m.type(piece).shape[static_cast<int>(m.node.attributes[0])];
    if (start == m.node.attributes[1] && start + size == m.node.attributes[2]) return piece;
    start += size;
  }
  return {};
}

/// A value and where it lies along an axis.
struct Piece {
  int64_t start;
  ValueId value;
};

/// The operands of a sum of pads along one axis, in `pieces`; false for other values, and where there are very many.
bool collect_pads(const Match& m, ValueId value, std::optional<int64_t>& axis, std::vector<Piece>& pieces) {
  constexpr size_t kMost = 64;
  if (const Node* sum = m.producer_if(Op::add, value))
    return collect_pads(m, sum->inputs[0], axis, pieces) && collect_pads(m, sum->inputs[1], axis, pieces);
  const Node* pad = m.producer_if(Op::pad, value);
  if (!pad || pieces.size() == kMost || pad->attributes[0] != axis.value_or(pad->attributes[0])) return false;
  axis = pad->attributes[0];
  pieces.push_back({pad->attributes[1], pad->inputs[0]});
  return true;
}

/// A sum of pads whose operands lie side by side, as a gradient of slices is: a concat. Zeros were added to each, which turns
/// -0 into +0.
Replacement sum_of_pads(const Match& m, const Type& result) {
  std::optional<int64_t> axis;
  std::vector<Piece> pieces;
  if (m.node.op != Op::add || !collect_pads(m, m.inputs[0], axis, pieces) || !collect_pads(m, m.inputs[1], axis, pieces))
    return {};
  std::ranges::sort(pieces, {}, &Piece::start);
  int64_t end = 0;
  for (const Piece& piece : pieces) {
    if (piece.start != end || m.type(piece.value).dtype != result.dtype) return {};
    end += m.type(piece.value).shape[static_cast<int>(*axis)];
  }
  if (end != result.shape[static_cast<int>(*axis)]) return {};
  std::vector<ValueId> values;
  for (const Piece& piece : pieces) values.push_back(piece.value);
  if (is_floating(result.dtype)) {
    const ValueId zero = m.add(Op::full, {}, Attributes::of(0.0, result.dtype, Ints()));
    for (ValueId& value : values) value = m.add(Op::add, {value, zero}, {});
  }
  return m.graph.add(Op::concat, values, Attributes::of(*axis), m.node.location).result();
}

Shape without_leading_ones(const Shape& shape) {
  int ones = 0;
  while (ones < shape.rank() && shape[ones] == 1) ++ones;
  return Shape(shape.dims().subspan(ones));
}

/// What elementwise broadcasting repeats anyway need not be repeated before: an operand that is an expand, a
/// reshape which adds leading axes of size 1, or a constant of many elements is replaced by what lies behind
/// it.
bool look_behind_broadcasts(Match& m, const Type& result) {
  bool changed = false;
  for (size_t i = 0; i < m.inputs.size(); ++i) {
    ValueId behind = m.inputs[i];
    const Shape& shape = m.type(behind).shape;
    if (const Node* expand = m.producer_if(Op::expand, behind)) {
      behind = expand->inputs[0];
    } else if (const Node* reshape = m.producer_if(Op::reshape, behind)) {
      if (without_leading_ones(shape) == m.type(reshape->inputs[0]).shape) behind = reshape->inputs[0];
    } else if (const Node* full = m.producer_if(Op::full, behind);
               full && shape.rank() > 0 && m.inputs.size() > 1) {
      behind =
          m.add(Op::full, {}, Attributes::of(full->attributes.number(0), full->attributes.dtype(1), Ints()));
    }
    if (behind == m.inputs[i]) continue;
    std::vector<ValueId> inputs = m.inputs;
    inputs[i] = behind;
    std::vector<Type> types;
    for (ValueId input : inputs) types.push_back(m.type(input));
    Attributes attributes = m.node.attributes;
    if (infer(m.node.op, types, attributes)[0] != result) continue;
    m.inputs = std::move(inputs);
    changed = true;
  }
  return changed;
}

/// Many matrices times one matrix are one product of all their rows.
Replacement rows_times_matrix(const Match& m, const Type& result) {
  if (m.node.op != Op::matmul || result.shape.rank() == 2 || m.type(m.inputs[1]).shape.rank() != 2) return {};
  const Shape& a = m.type(m.inputs[0]).shape;
  const Shape rows{Shape(a.dims().first(a.rank() - 1)).element_count(), a.back()};
  const ValueId as_rows = m.add(Op::reshape, {m.inputs[0]}, Attributes::of(Ints(rows)));
  const ValueId product = m.add(Op::matmul, {as_rows, m.inputs[1]}, {});
  return m.add(Op::reshape, {product}, Attributes::of(Ints(result.shape)));
}

/// The value that a rule gives, if it has the type of the result; types are kept.
Replacement replacement(const Match& m, const Type& result) {
  const auto typed = [&](Replacement value) {
    return value && m.type(*value) == result ? value : Replacement();
  };
  if (Replacement value = typed(identity_of_algebra(m))) return value;
  if (Replacement value = typed(view_of_nothing(m, result))) return value;
  if (Replacement value = typed(view_of_full(m, result))) return value;
  if (Replacement value = typed(view_of_view(m))) return value;
  if (Replacement value = typed(reshape_of_repeated(m, result))) return value;
  if (Replacement value = typed(rows_times_matrix(m, result))) return value;
  if (Replacement value = typed(sum_of_pads(m, result))) return value;
  return typed(slice_of_concat(m));
}

/// Pieces of a concat that is split where it was joined.
bool split_of_concat(Rewriter& rewrite, const Match& m) {
  const Node* whole = m.node.op == Op::split ? m.made_by(Op::concat, 0) : nullptr;
  if (!whole || whole->attributes[0] != m.node.attributes[1] || whole->inputs.size() != m.node.result_count)
    return false;
  for (uint32_t i = 0; i < m.node.result_count; ++i)
    if (m.type(whole->inputs[i]) != rewrite.source().type(m.node.result(i))) return false;
  for (uint32_t i = 0; i < m.node.result_count; ++i) rewrite.set(m.node.result(i), whole->inputs[i]);
  return true;
}

}  // namespace

Graph simplify(const Graph& graph) {
  Rewriter rewrite(graph);
  for (const Node& node : graph.nodes()) {
    Match match{rewrite.graph(), node, rewrite(node.inputs)};
    const Type result = graph.type(node.result());
    if (node.body || node.inputs.empty()) {
      rewrite.copy(node);
    } else if (split_of_concat(rewrite, match)) {
      continue;
    } else if (const Replacement value = replacement(match, result)) {
      rewrite.set(node.result(), *value);
    } else if (row(node.op).kind == OpKind::elementwise && look_behind_broadcasts(match, result)) {
      const Replacement simpler = replacement(match, result);
      rewrite.set(node.result(),
                  simpler ? *simpler : rewrite.add(node.op, match.inputs, node.attributes, node.location));
    } else {
      rewrite.copy(node);
    }
  }
  return dce(rewrite.finish());
}

}  // namespace calque::passes
