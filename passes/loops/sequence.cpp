// Recognises steps that were cut out of one tensor, and steps that are put together again.
#include "passes/loops/sequence.h"

#include <algorithm>
#include <cstdlib>
#include <functional>
#include <numeric>
#include <optional>

#include "passes/dce.h"
#include "passes/expand_gradients.h"
#include "passes/rewriter.h"

namespace calque::passes {

namespace {

ValueId add(Graph& graph, Op op, ValueId input, const Attributes& attributes, const void* location) {
  const ValueId inputs[] = {input};
  return graph.add(op, inputs, attributes, location).result();
}

ValueId reshape(Graph& graph, ValueId value, const Shape& shape, const void* location) {
  return graph.type(value).shape == shape ? value : add(graph, Op::reshape, value, Attributes::of(Ints(shape)), location);
}

/// Moves axis `from` to `to`; the others keep their order.
ValueId move_axis(Graph& graph, ValueId value, int from, int to, const void* location) {
  if (from == to) return value;
  std::vector<int64_t> axes(graph.type(value).shape.rank());
  std::iota(axes.begin(), axes.end(), 0);
  axes.erase(axes.begin() + from);
  axes.insert(axes.begin() + to, from);
  return add(graph, Op::permute, value, Attributes::of(Ints(axes)), location);
}

using Opaque = std::set<ValueId>;

/// None of an input, or of a value whose making is not to be looked at.
const Node* producer_of(const Graph& graph, ValueId value, const Opaque& opaque) {
  return graph.is_input(value) || opaque.contains(value) ? nullptr : &graph.node(graph.producer(value));
}

/// A part of one axis of a value, which is no such part itself.
struct Cut {
  ValueId base;
  int axis;
  int64_t start, stop;
};

std::optional<Cut> one_cut(const Graph& graph, ValueId value, const Opaque& opaque) {
  const Node* node = producer_of(graph, value, opaque);
  if (node && node->op == Op::slice)
    return Cut{node->inputs[0], static_cast<int>(node->attributes[0]), node->attributes[1], node->attributes[2]};
  if (node && node->op == Op::split) {
    const int axis = static_cast<int>(node->attributes[1]);
    const int64_t width = graph.type(value).shape[axis], index = value - node->first_result;
    return Cut{node->inputs[0], axis, index * width, (index + 1) * width};
  }
  return std::nullopt;
}

std::optional<Cut> cut_of(const Graph& graph, ValueId value, const Opaque& opaque) {
  std::optional<Cut> cut = one_cut(graph, value, opaque);
  for (std::optional<Cut> outer = cut; cut && (outer = one_cut(graph, cut->base, opaque)) && outer->axis == cut->axis;)
    cut = Cut{outer->base, cut->axis, cut->start + outer->start, cut->stop + outer->start};
  return cut;
}

/// Cuts that follow each other without gaps, upwards or downwards, as a view of what they were cut from.
std::optional<Sequence> join_cuts(Graph& graph, std::span<const ValueId> steps, const void* location, const Opaque& opaque) {
  std::vector<Cut> cuts;
  for (ValueId step : steps) {
    const std::optional<Cut> cut = cut_of(graph, step, opaque);
    if (!cut || (!cuts.empty() && (cut->base != cuts[0].base || cut->axis != cuts[0].axis))) return std::nullopt;
    cuts.push_back(*cut);
  }
  const int64_t width = cuts[0].stop - cuts[0].start, count = static_cast<int64_t>(cuts.size());
  const bool descending = cuts.back().start < cuts[0].start;
  for (int64_t i = 1; i < count; ++i)
    if (cuts[i].start != cuts[i - 1].start + (descending ? -width : width)) return std::nullopt;
  const int axis = cuts[0].axis;
  const int64_t start = std::min(cuts[0].start, cuts.back().start);
  Shape shape = graph.type(cuts[0].base).shape;
  if (shape.rank() == kMaxRank || width == 0) return std::nullopt;
  ValueId value = cuts[0].base;
  if (start != 0 || count * width != shape[axis])
    value = add(graph, Op::slice, value, Attributes::of(int64_t{axis}, start, start + count * width), location);
  shape.set(axis, width);
  shape.insert(axis, count);
  return Sequence{move_axis(graph, reshape(graph, value, shape, location), axis, 0, location), descending};
}

/// Reshapes of steps as the reshape of a sequence.
std::optional<Sequence> join_reshapes(Graph& graph, std::span<const ValueId> steps, const void* location,
                                      const Opaque& opaque) {
  std::vector<ValueId> inner;
  for (ValueId step : steps) {
    const Node* node = producer_of(graph, step, opaque);
    if (!node || node->op != Op::reshape) return std::nullopt;
    inner.push_back(node->inputs[0]);
    if (graph.type(inner.back()) != graph.type(inner[0])) return std::nullopt;
  }
  Shape shape = graph.type(steps[0]).shape;
  if (graph.type(inner[0]).shape.rank() == kMaxRank) return std::nullopt;
  shape.insert(0, static_cast<int64_t>(steps.size()));
  Sequence sequence = join_steps(graph, std::move(inner), location, opaque);
  sequence.value = reshape(graph, sequence.value, shape, location);
  return sequence;
}

}  // namespace

void copy_opaque(Rewriter& rewrite, const Node& node, const std::vector<bool>& is_opaque, std::set<ValueId>& opaque) {
  rewrite.copy(node);
  for (uint32_t i = 0; i < node.result_count; ++i)
    if (is_opaque[node.result(i)]) opaque.insert(rewrite(node.result(i)));
}

Sequence join_steps(Graph& graph, std::vector<ValueId> steps, const void* location, const Opaque& opaque) {
  if (const std::optional<Sequence> cut = join_cuts(graph, steps, location, opaque)) return *cut;
  if (const std::optional<Sequence> reshaped = join_reshapes(graph, steps, location, opaque)) return *reshaped;
  Shape one = graph.type(steps[0]).shape;
  one.insert(0, 1);
  for (ValueId& step : steps) step = reshape(graph, step, one, location);
  return {graph.add(Op::concat, steps, Attributes::of(int64_t{0}), location).result(), false};
}

ValueId in_order(Graph& graph, const Sequence& sequence, bool descending, const void* location) {
  if (sequence.descending == descending) return sequence.value;
  return add(graph, Op::flip, sequence.value, Attributes::of(Ints{0}), location);
}

ValueId step_of(Graph& graph, ValueId sequence, int64_t index, const void* location) {
  Shape shape = graph.type(sequence).shape;
  shape.erase(0);
  const ValueId cut = add(graph, Op::slice, sequence, Attributes::of(int64_t{0}, index, index + 1), location);
  return reshape(graph, cut, shape, location);
}

namespace {

/// The sequence that a value is one step of, seen through reshapes.
struct Step {
  ValueId sequence;
  int64_t index;
};
/// The last carried value of a loop that stacks it as well.
std::optional<Step> last_step(const Node& loop, ValueId value) {
  const LoopForm form = LoopForm::of(loop.attributes);
  const auto outputs = loop.body->outputs();
  const size_t carried = value - loop.first_result;
  for (size_t i = form.carried; carried < form.carried && i < outputs.size(); ++i)
    if (outputs[i] == outputs[carried])
      return Step{loop.result(static_cast<uint32_t>(i)), form.reverse ? 0 : form.length - 1};
  return std::nullopt;
}

std::optional<Step> step_behind(const Graph& graph, ValueId value, const Opaque& opaque) {
  const Node* node = producer_of(graph, value, opaque);
  for (; node && node->op == Op::reshape; node = producer_of(graph, value, opaque)) value = node->inputs[0];
  if (node && node->op == Op::loop) return last_step(*node, value);
  const bool is_step = node && node->op == Op::slice && node->attributes[0] == 0 &&
                       node->attributes[2] == node->attributes[1] + 1;
  return is_step ? std::optional(Step{node->inputs[0], node->attributes[1]}) : std::nullopt;
}

/// How many of the parts from the first on are consecutive steps of one sequence, upwards or downwards.
size_t steps_in_a_row(const Graph& graph, std::span<const ValueId> parts, const Opaque& opaque) {
  const std::optional<Step> first = step_behind(graph, parts[0], opaque);
  if (!first) return 1;
  std::optional<int64_t> direction;
  size_t count = 1;
  for (Step before = *first; count < parts.size(); ++count) {
    const std::optional<Step> step = step_behind(graph, parts[count], opaque);
    if (!step || step->sequence != before.sequence || graph.type(parts[count]) != graph.type(parts[0])) break;
    const int64_t distance = step->index - before.index;
    if (std::abs(distance) != 1 || distance != direction.value_or(distance)) break;
    direction = distance;
    before = *step;
  }
  return count;
}

/// Consecutive steps of one sequence, side by side along `axis`.
ValueId steps_joined(Graph& graph, std::span<const ValueId> steps, int axis, const void* location, const Opaque& opaque) {
  const Step first = *step_behind(graph, steps[0], opaque), last = *step_behind(graph, steps.back(), opaque);
  const auto count = static_cast<int64_t>(steps.size());
  const int64_t start = std::min(first.index, last.index);
  Sequence sequence{first.sequence, last.index < first.index};
  if (count != graph.type(sequence.value).shape[0])
    sequence.value = add(graph, Op::slice, sequence.value, Attributes::of(int64_t{0}, start, start + count), location);
  const Shape one = graph.type(steps[0]).shape;
  Shape all = one, joined = one;
  all.insert(0, count);
  joined.set(axis, count * one[axis]);
  const ValueId value = reshape(graph, in_order(graph, sequence, false, location), all, location);
  return reshape(graph, move_axis(graph, value, 0, axis, location), joined, location);
}

/// The parts of a concat, with those joined that are steps of one sequence.
std::vector<ValueId> fewer_parts(Graph& graph, std::span<const ValueId> parts, const Node& concat, const Opaque& opaque) {
  std::vector<ValueId> fewer;
  const int axis = static_cast<int>(concat.attributes[0]);
  const bool has_room = graph.type(parts[0]).shape.rank() < kMaxRank;
  for (size_t i = 0, count = 1; i < parts.size(); i += count) {
    count = has_room ? steps_in_a_row(graph, parts.subspan(i), opaque) : 1;
    fewer.push_back(count == 1 ? parts[i] : steps_joined(graph, parts.subspan(i, count), axis, concat.location, opaque));
  }
  return fewer;
}

}  // namespace

/// What the program gives, itself or as a view.
static std::vector<bool> given_values(const Graph& graph) {
  std::vector<bool> is_given(graph.value_count());
  for (ValueId value : graph.outputs()) {
    is_given[value] = true;
    for (; !graph.is_input(value) && row(graph.node(graph.producer(value)).op).kind == OpKind::view; is_given[value] = true)
      value = graph.node(graph.producer(value)).inputs[0];
  }
  return is_given;
}

bool are_steps_in_a_row(const Graph& graph, std::span<const ValueId> values, const std::set<ValueId>& opaque) {
  return values.size() > 1 && steps_in_a_row(graph, values, opaque) == values.size();
}

Graph collect_steps(const Graph& graph) {
  Rewriter rewrite(graph);
  const std::vector<bool> is_by = differentiated_by(graph), is_given = given_values(graph);
  Opaque opaque;
  for (const Node& node : graph.nodes()) {
    const std::vector<ValueId> parts = rewrite(node.inputs);
    std::vector<ValueId> fewer = parts;
    if (node.op == Op::concat && !is_by[node.result()]) fewer = fewer_parts(rewrite.graph(), parts, node, opaque);
    if (fewer.size() == parts.size())
      copy_opaque(rewrite, node, is_by, opaque);
    else if (fewer.size() == 1 && !is_given[node.result()])  // what is given may be written to; a gradient may need the steps as they were
      rewrite.set(node.result(), fewer[0]);
    else
      rewrite.set(node.result(), rewrite.add(Op::concat, fewer, node.attributes, node.location));
  }
  return dce(rewrite.finish());
}

}  // namespace calque::passes
