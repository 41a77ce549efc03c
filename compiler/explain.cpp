// Explanations and dumps of compiled functions.
#include "compiler/explain.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <map>
#include <optional>
#include <set>

#include "compiler/kernel_store.h"
#include "compiler/op_account.h"
#include "compiler/reasons.h"
#include "compiler/resize.h"
#include "compiler/segment.h"
#include "compiler/symbolizer.h"
#include "compiler/unrolled.h"
#include "compiler/way_position.h"
#include "ir/graph/printer.h"
#include "ir/op/error.h"
#include "runtime/kernels/eager.h"

namespace calque {

namespace {

std::string text_of(const Graph& graph) { return print(graph, GraphPrintOptions{source_line}); }

/// 12 B, 3.4 kB, 5.6 MB: for people.
std::string amount(double number, const char* unit) {
  const char* const prefixes[] = {"", "k", "M", "G", "T"};
  int prefix = 0;
  for (; number >= 1000 && prefix < 4; ++prefix) number /= 1000;
  return prefix == 0 ? fmt::format("{:.0f} {}", number, unit)
                     : fmt::format("{:.1f} {}{}", number, prefixes[prefix], unit);
}

std::string line_of(const void* location) {
  const std::string line = source_line(location);
  return line.empty() ? "?" : line;
}

/// `f32[n0,256]`: the name of the symbol where a size differs from call to call.
std::string symbolic_type(const SlotRecord& record, const SizedSlot* sized) {
  std::vector<std::string> dims;
  for (int axis = 0; axis < record.shape.rank(); ++axis)
    dims.push_back(sized && sized->dims[axis] != kNoSize ? fmt::format("n{}", sized->dims[axis])
                                                         : std::to_string(record.shape[axis]));
  return fmt::format("{}[{}]", name(record.dtype), fmt::join(dims, ","));
}

/// What must hold for a tensor from elsewhere.
std::string guard_of(const SlotRecord& record, const SizedSlot* sized) {
  const bool is_dense = kernels::is_contiguous({nullptr, record.dtype, record.shape, record.strides});
  return fmt::format(
      "{}, {}{}, {}\n", symbolic_type(record, sized),
      is_dense
          ? "row-major"
          : fmt::format("strides {}", fmt::join(std::span(record.strides).first(record.shape.rank()), ",")),
      !record.requires_grad ? ""
      : record.is_leaf      ? ", a leaf with gradients"
                            : ", with history",
      record.is_of_this_call ? "made in an earlier segment" : "from outside of the call");
}

std::string guards_of(const TraceTree& tree, std::span<const TraceId> path) {
  std::vector<std::string> guards;
  for (TraceId id : path)
    for (size_t i = 0; i < tree[id].new_slots.size(); ++i)
      guards.push_back(guard_of(tree[id].new_slots[i], sized_slot(tree[id], i)));
  std::string text;
  for (size_t first = 0, end = 0; first < guards.size(); first = end) {
    for (end = first + 1; end < guards.size() && guards[end] == guards[first];) ++end;
    constexpr size_t kWorthFolding = 4;
    if (end - first < kWorthFolding) end = first + 1;
    text += end - first > 1 ? fmt::format("  guard x{} to x{}, each: {}", first, end - 1, guards[first])
                            : fmt::format("  guard x{}: {}", first, guards[first]);
  }
  return text;
}

/// The loops of the recorded way, with the iterations that the last plan was made for.
std::string loops_of(const TraceTree& tree, TraceId end) {
  std::string text;
  for (TraceId id : tree.path(tree[end].segment_begin, end)) {
    const TraceLoop* loop = tree.loop_at(id);
    if (!loop) continue;
    const BoundSizes sizes = tree[end].segment->compiled() ? tree[end].segment->sizes() : tree.bound_sizes(end);
    const auto trips = std::find_if(sizes.begin(), sizes.end(), [&](const auto& size) { return size.first == loop->trips; });
    text += fmt::format("  loop of {} ops from {} at {}, any number of times; {} in the last plan\n", loop->length,
                        row(tree[id].op).name, line_of(tree[id].location), trips == sizes.end() ? 0 : trips->second + 1);
  }
  return text;
}

/// Of the segment's nodes with an own one for each iteration: which are of loops of the way; how many loops there are.
std::pair<std::vector<bool>, size_t> rolled_nodes_of(const TraceTree& tree, TraceId end, const BoundSizes& sizes) {
  std::vector<bool> is_rolled;
  size_t loops = 0;
  for (TraceId id : tree.path(tree[end].segment_begin, end)) {
    const TraceLoop* loop = tree.loop_at(id);
    if (!loop) {
      is_rolled.push_back(tree[id].loop != kNoLoop);
      continue;
    }
    ++loops;
    const auto trips = std::ranges::find(sizes, loop->trips, &BoundSizes::value_type::first);
    const int64_t again = trips == sizes.end() ? tree.sizes()[loop->trips] : trips->second;
    is_rolled.insert(is_rolled.end(), static_cast<size_t>(again) * loop->length + 1, true);
  }
  return {std::move(is_rolled), loops};
}

std::string stretch_of(const TraceTree& tree, const UnrolledStretch& stretch) {
  const auto op_at = [&](TraceId id) { return fmt::format("{} at {}", row(tree[id].op).name, line_of(tree[id].location)); };
  const ReasonRow& reason = row(stretch.reason);
  return fmt::format("{} times {} ops from {}: {} [{}]{}", stretch.count, stretch.period, op_at(stretch.first), reason.phrase,
                     reason.code, stretch.differing == kNoTrace ? "" : ", " + op_at(stretch.differing));
}

/// What looks like a loop and is none: of the way, so that other trip counts are other ways, or of the plan.
std::string unrolled_of(const TraceTree& tree, std::span<const TraceId> path, const SegmentAccount* account,
                        const std::vector<bool>& is_rolled, size_t loops) {
  using Line = std::pair<Op, const void*>;
  const auto line = [&](TraceId id) { return Line{tree[id].op, tree[id].location}; };
  std::set<Line> in_plan, said;  // ops of loops of the plan; of stretches that were named
  if (account)
    for (const auto& [later, first] : account->rolled) in_plan.insert(line(later));
  std::string text;
  for (const UnrolledStretch& stretch : unrolled_stretches(tree, path, is_rolled, loops)) {
    const auto begin = std::ranges::find(path, stretch.first);
    bool is_in_plan = false;
    for (auto id = begin; id < begin + static_cast<std::ptrdiff_t>(stretch.period); ++id) {
      said.insert(line(*id));
      is_in_plan |= in_plan.contains(line(*id));
    }
    text += fmt::format("  no loop of the way: {}{}\n", stretch_of(tree, stretch), is_in_plan ? "; the plan has one" : "");
  }
  if (account)
    for (const UnrolledStretch& stretch : account->unrolled)
      if (!said.contains(line(stretch.first))) text += fmt::format("  no loop of the plan: {}\n", stretch_of(tree, stretch));
  return text;
}

/// The symbols that the segment binds, what they were in the last plan that ran, and for how many sizes there are plans.
std::string sizes_of(const TraceTree& tree, std::span<const TraceId> path, const Segment& segment) {
  std::vector<std::string> names;
  size_t slot = 0;
  for (TraceId id : path)
    for (size_t i = 0; i < tree[id].new_slots.size(); ++i, ++slot)
      if (const SizedSlot* sized = sized_slot(tree[id], i))
        for (int axis = 0; axis < kMaxRank; ++axis)
          if (sized->dims[axis] != kNoSize)
            names.push_back(fmt::format("n{} = dim {} of x{} ({})", sized->dims[axis], axis, slot,
                                        tree[id].new_slots[i].shape[axis]));
  if (names.empty()) return "";
  return fmt::format("  {}: {}; plans for {} sizes\n", with_code(row(Reason::symbolic_size).phrase), fmt::join(names, ", "),
                     segment.plan_count());
}

/// Which members of the team run the loops of a plan, where not all do.
std::string sharing_of(const Plan& plan) {
  int beside = 0, tried = 0;
  for (const PlanStep& step : plan.steps()) {
    beside += step.owner == 1 ? 2 : step.owner > 1;  // the first of a group has no number
    tried += step.kind == PlanStep::Kind::loop && step.sharing == PlanStep::Sharing::if_quicker;
  }
  std::string text;
  if (beside > 0) text += fmt::format("  loops that run at the same time, each on a thread of its own: {}\n", beside);
  if (tried > 0) text += fmt::format("  loops that run on one thread or on all, as was quicker when tried: {}\n", tried);
  return text;
}

/// What a plan takes: work, and memory before it runs.
std::string cost_of(const Plan& plan, std::span<const StepAccount> steps) {
  double flops = 0;
  for (const StepAccount& step : steps) flops += step.flops;
  return fmt::format("{}; at its peak {} beside its inputs ({} scratch)", amount(flops, "FLOP"),
                     amount(static_cast<double>(plan.peak_bytes()), "B"),
                     amount(static_cast<double>(plan.arena_bytes()), "B"));
}

std::string steps_of(std::span<const StepAccount> steps, const char* which) {
  std::string text;
  for (const StepAccount& step : steps)
    text += fmt::format("  {}{}: {} ops, reads {}, writes {}, {}\n", which, step.label, step.ops,
                        amount(static_cast<double>(step.bytes_read), "B"),
                        amount(static_cast<double>(step.bytes_written), "B"), amount(step.flops, "FLOP"));
  return text;
}

std::string plan_of(const CompiledSegment& compiled, const SegmentAccount& account) {
  const Plan& plan = *compiled.forward;
  return fmt::format("  plan: {} kernels, {} steps, {} saved values, {}; {} in {:.2f} ms\n", plan.kernel_count(),
                     plan.steps().size(), plan.graph().outputs().size() - compiled.traced.roots.size(),
                     cost_of(plan, account.steps), phrase(compiled.origin), compiled.compile_milliseconds) +
         steps_of(account.steps, "") + sharing_of(plan);
}

/// Gradients that the backward plan leaves as the factors of a product.
std::string left_products_of(const CompiledSegment& compiled) {
  const BackwardProgram& backward = *compiled.backward;
  const Graph& graph = backward.plan->graph();
  std::string text;
  for (const GradientOutput& gradient : backward.map.gradients) {
    if (!gradient.is_product) continue;
    const Type &left = graph.type(graph.outputs()[gradient.first]), &right = graph.type(graph.outputs()[gradient.first + 1]);
    text += fmt::format("  backward gives the gradient of x{} as {} by {}, {}, multiplied once for all calls\n",
                        compiled.traced.sources[static_cast<size_t>(gradient.slot)].slot, to_string(left), to_string(right),
                        amount(product_flops(left, right), "FLOP"));
  }
  return text;
}

std::string backward_of(const CompiledSegment& compiled, const SegmentAccount& account) {
  if (!compiled.backward) return "";
  const Plan& plan = *compiled.backward->plan;
  return fmt::format("  backward plan: {} kernels, {} steps, {}\n", plan.kernel_count(), plan.steps().size(),
                     cost_of(plan, account.backward_steps)) +
         steps_of(account.backward_steps, "backward ") + left_products_of(compiled) + sharing_of(plan);
}

/// Lines that come several times in a row, once.
std::string folded(const std::vector<std::string>& lines) {
  std::string text;
  for (size_t i = 0, count = 1; i < lines.size(); i += count) {
    for (count = 1; i + count < lines.size() && lines[i + count] == lines[i];) ++count;
    text += count == 1 ? lines[i] + "\n" : fmt::format("{} (and {} more)\n", lines[i], count - 1);
  }
  return text;
}

/// The line that made a value which is saved.
std::string made_at(const TraceTree& tree, const SavedAccount& saved) {
  if (saved.made_by == kNoTrace) return saved.is_state ? "a state as each step finds it" : "an input";
  return fmt::format("{} {}{}", line_of(tree[saved.made_by].location), row(tree[saved.made_by].op).name,
                     saved.is_state ? ", a state as each step finds it" : "");
}

/// What the backward plan and gradients inside the plan need, by the line that made it.
std::string saved_of(const TraceTree& tree, const SegmentAccount& account) {
  std::vector<std::string> lines;
  for (const SavedAccount& saved : account.saved) {
    const auto bytes = static_cast<double>(saved.type.shape.element_count()) * static_cast<double>(size_of(saved.type.dtype));
    const std::string steps =
        saved.steps == 0 ? "" : fmt::format(", {} steps of {}", saved.steps, amount(bytes / static_cast<double>(saved.steps), "B"));
    const std::string reader = saved.grad == kNoTrace ? "" : fmt::format(", for grad at {}", line_of(tree[saved.grad].location));
    lines.push_back(fmt::format("  saved {}[{}], {}{}: {}{}", name(saved.type.dtype), fmt::join(saved.type.shape.dims(), ","),
                                amount(bytes, "B"), steps, made_at(tree, saved), reader));
  }
  return folded(lines);
}

std::string ops_of(const TraceTree& tree, std::span<const TraceId> path, const SegmentAccount* account) {
  std::map<TraceId, size_t> later;  // by op of a first iteration
  if (account)
    for (const auto& [id, first] : account->rolled) ++later[first];
  std::vector<std::string> lines;
  for (TraceId id : path) {
    const TraceNode& node = tree[id];
    if (node.kind == TraceNode::Kind::end || (account && account->rolled.contains(id))) continue;
    std::string fate = with_code(node.kind == TraceNode::Kind::number  ? row(Reason::number).phrase
                                 : node.kind == TraceNode::Kind::apart ? row(Reason::apart).phrase
                                 : account                             ? fate_of(tree, id, *account)
                                                                       : row(Reason::eager_op).phrase);
    if (const auto found = later.find(id); found != later.end())
      fate += fmt::format("; {} more: {}", found->second, with_code(row(Reason::rolled).phrase));
    if (tree[node.parent].first_child != id) fate += "; " + with_code(row(Reason::other_way).phrase);
    lines.push_back(fmt::format("  {:<22} {:<14} {}", line_of(node.location), row(node.op).name, fate));
  }
  return folded(lines);
}

std::string explain_segment(const TraceTree& all, TraceId end) {
  // Records of a way may hold sizes of different calls; those of the plan are looked at.
  const CompiledSegment* planned = all[end].segment->compiled();
  const BoundSizes sizes = planned ? all[end].segment->sizes() : all.bound_sizes(end);
  const std::string loops = loops_of(all, end);
  const auto [is_rolled, loop_count] = rolled_nodes_of(all, end, sizes);
  std::optional<ResizedWay> resized;
  if (!sizes.empty()) resized = resized_way(all, end, sizes);
  const TraceTree& straight = resized ? resized->tree : all;
  const TraceId straight_end = resized ? resized->end : end;
  const std::vector<TraceId> straight_path = straight.path(straight[straight_end].segment_begin, straight_end);
  const TraceTree& tree = planned ? straight : all;
  if (planned) end = straight_end;
  const TraceNode& closing = tree[end];
  const CompiledSegment* compiled = closing.segment->compiled();
  const std::vector<TraceId> path = tree.path(closing.segment_begin, end);
  std::optional<SegmentAccount> account;
  std::string text;
  if (compiled) {
    account = account_for(tree, end, *compiled);
    text = "segment:\n" + plan_of(*compiled, *account);
  } else if (!closing.segment->failure().empty()) {
    text = fmt::format("segment {}: {}\n", with_code(row(Reason::not_compiled).phrase),
                       closing.segment->failure());
  } else {
    text = fmt::format("segment: {}\n", with_code(row(Reason::seen_once).phrase));
  }
  if (account) text += saved_of(tree, *account) + backward_of(*compiled, *account);
  const SegmentAccount* known = account ? &*account : nullptr;
  text += loops + unrolled_of(straight, straight_path, known, is_rolled, loop_count) +
          sizes_of(tree, path, *closing.segment) + guards_of(tree, path) + ops_of(tree, path, known);
  const ReasonRow* reason = closing.reason ? reason_in(closing.reason) : nullptr;
  return text + (closing.reason
                     ? fmt::format("  ends here: {}{}\n", with_code(closing.reason),
                                   reason && *reason->remedy ? fmt::format("; {}", reason->remedy) : "")
                     : "  ends here: the function returned\n");
}

std::string code_of(const Graph& lowered, RowLength length, const std::string& what) {
  const CodegenOutput output = generated_text(lowered, length);
  return what == "llvm" ? output.llvm_ir : output.assembly;
}

std::string stage_of(const CompiledSegment& segment, const std::string& stage) {
  if (stage == "trace") return text_of(segment.recorded().graph);
  if (stage == "prepare") return text_of(prepared_graph(segment.traced));
  const bool is_backward = stage.starts_with("backward-");
  const std::string what = is_backward ? stage.substr(9) : stage;
  if (what != "lower" && what != "llvm" && what != "assembly")
    throw UserError("dump: no stage is called " + stage +
                    "; there are trace, prepare, lower, llvm, assembly and backward-lower, backward-llvm, "
                    "backward-assembly");
  if (is_backward && !segment.backward) return "";
  const LoweredGraphs graphs = lowered_graphs(segment.traced);
  const Graph& lowered = is_backward ? graphs.backward : graphs.forward;
  return what == "lower" ? text_of(lowered) : code_of(lowered, segment.row_length, what);
}

}  // namespace

std::string explain_tree(const TraceTree& tree, const std::string& name) {
  std::string text =
      fmt::format("{}: {} recorded nodes, {} branches\n", name, tree.op_count(), tree.branches());
  for (TraceId id = 0; id < tree.size(); ++id)
    if (tree[id].kind == TraceNode::Kind::end) text += explain_segment(tree, id);
  return text;
}

std::string dump_tree(const TraceTree& tree, const std::string& stage) {
  std::string text;
  for (TraceId id = 0; id < tree.size(); ++id)
    if (tree[id].segment && tree[id].segment->compiled())
      text += stage_of(*tree[id].segment->compiled(), stage);
  return text;
}

}  // namespace calque
