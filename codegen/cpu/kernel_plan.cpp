// Assigns values to stages, walks the stages backwards from the results and decides what is kept in memory.
#include "codegen/cpu/kernel_plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

#include "calque/kernel_abi.h"
#include "ir/op/error.h"
#include "ir/op/reduction.h"
#include "ir/op/scalar/program.h"

namespace calque::codegen {

namespace {

/// A value of at most this cost (one operation on one load) is computed again in each stage that reads it,
/// instead of kept in scratch memory. On layer norm, keeping what costs more measures 5 to 10 % faster than
/// not.
constexpr int kRecomputeCost = 2;
constexpr int kCostBound = 1 << 20;
/// The planner and the emitter recurse over the nodes of a body.
constexpr size_t kMaxBodyNodes = 4096;
// What is kept of a row has room for all columns, whose sums have one block.
static_assert(CALQUE_MOST_ANY_COLUMNS == reduction::kBlock);

int cost_of(Primitive primitive) {
  switch (primitive) {
    case Primitive::argument:
    case Primitive::constant:
    case Primitive::bit_cast:
      return 0;
    case Primitive::div:
    case Primitive::square_root:
      return 8;
    default:
      return 1;
  }
}

bool is_index_map(Op op) {
  return op == Op::slice || op == Op::split || op == Op::reshape || op == Op::permute || op == Op::expand ||
         op == Op::detach;
}
bool is_reduction(Op op) { return row(op).kind == OpKind::reduction; }
/// Always made in memory, piece by piece.
bool is_assembly(Op op) { return op == Op::concat || op == Op::pad; }

class Planner {
 public:
  explicit Planner(const KernelDomain& kernel) : body_(*kernel.body) {
    plan_.kernel = kernel;
    if (body_.nodes().size() > kMaxBodyNodes)
      throw UserError(
          fmt::format("fusion: {} nodes in one body (at most {})", body_.nodes().size(), kMaxBodyNodes));
    for (ValueId value = 0; value < body_.value_count(); ++value)
      plan_.forms.push_back(form_of(body_.type(value).shape, kernel.domain));
    plan_.any_columns = in_rows() && kernel.columns == CALQUE_MOST_ANY_COLUMNS && has_whole_rows();
  }

  KernelPlan run() {
    assign_levels();
    measure_costs();
    place_operands();
    schedule_outputs();
    walk_stages();
    for (auto& [key, stage] : stages_) {
      stage.key = key;
      for (const Store& store : stage.stores) stage.cost += costs_[store.value];
      for (NodeId node : stage.reductions) stage.cost += costs_[body_.node(node).inputs[0]] + 1;
      plan_.stages.push_back(std::move(stage));
    }
    return std::move(plan_);
  }

 private:
  bool in_rows() const { return plan_.kernel.domain == Domain::rows; }

  /// Whether values have all columns or one, and none is a part of another.
  bool has_whole_rows() const {
    const auto keeps_form = [&](const Node& node) {
      const bool moves = node.op == Op::slice || node.op == Op::split || is_assembly(node.op);
      return !moves || plan_.forms[node.inputs[0]] == plan_.forms[node.result()];
    };
    const auto is_whole = [&](const Form& form) { return form.width == 1 || form.width == plan_.kernel.columns; };
    return std::ranges::all_of(body_.nodes(), keeps_form) && std::ranges::all_of(plan_.forms, is_whole);
  }

  void assign_levels() {
    plan_.stage_keys.resize(body_.value_count());
    for (ValueId value = 0; value < body_.value_count(); ++value) {
      plan_.stage_keys[value].width = plan_.forms[value].width;
      plan_.widest_bytes = std::max(plan_.widest_bytes, static_cast<int>(size_of(body_.type(value).dtype)));
    }
    for (const Node& node : body_.nodes()) {
      int32_t level = 0;
      for (ValueId input : node.inputs) level = std::max(level, plan_.stage_keys[input].level);
      if (is_reduction(node.op) || is_assembly(node.op)) ++level;
      for (uint32_t i = 0; i < node.result_count; ++i) plan_.stage_keys[node.result(i)].level = level;
    }
  }

  void measure_costs() {
    costs_.assign(body_.value_count(), 1);  // a load
    for (const Node& node : body_.nodes()) {
      for (uint32_t i = 0; i < node.result_count; ++i) {
        const ValueId value = node.result(i);
        if (plan_.is_scalar(value))
          costs_[value] = 0;
        else if (!is_reduction(node.op) && !is_assembly(node.op))
          costs_[value] = cost_of(node, value);
      }
    }
  }
  int cost_of(const Node& node, ValueId value) const {
    int64_t cost = 0;
    for (ValueId input : node.inputs) cost += plan_.is_scalar(input) ? 0 : costs_[input];
    if (row(node.op).kind == OpKind::elementwise) {
      const DType input = body_.type(node.inputs.back()).dtype;
      for (const ScalarNode& scalar : scalar_program(node.op, input, body_.type(value).dtype).nodes)
        cost += codegen::cost_of(scalar.primitive);
    }
    return static_cast<int>(std::min<int64_t>(cost, kCostBound));
  }

  void place_operands() {
    plan_.places.resize(body_.value_count());
    uint32_t operand = 0;
    for (ValueId input : body_.inputs()) plan_.places[input] = {Place::Kind::operand, operand++, 0};
    for (ValueId output : body_.outputs()) {
      Place& place = plan_.places[output];
      if (place.kind == Place::Kind::none) place = {Place::Kind::operand, operand, 0};
      ++operand;
    }
  }

  void schedule_outputs() {
    uint32_t operand = static_cast<uint32_t>(body_.inputs().size());
    for (ValueId output : body_.outputs()) {
      if (in_rows() && plan_.kernel.rows == 0 && plan_.forms[output].rows != 0)
        throw UserError("fusion: no row makes a result that all rows share");
      schedule(output, {Place::Kind::operand, operand++, 0});
    }
    if (!in_rows()) stages_[{0, plan_.kernel.columns}];  // exists even without results
    if (plan_.kernel.domain != Domain::columns) return;
    Stage& stage = stages_.begin()->second;
    for (NodeId id = 0; id < body_.nodes().size(); ++id) {
      if (!is_reduction(body_.node(id).op)) continue;
      if (plan_.stage_keys[body_.node(id).inputs[0]].level != 0)
        throw UserError("fusion: a columns domain sums a value that depends on another sum");
      stage.reductions.push_back(id);
    }
  }

  /// Has the value written to a place, by the stage that computes it.
  void schedule(ValueId value, const Place& place) {
    const bool is_own = place.kind == plan_.places[value].kind &&
                        place.operand == plan_.places[value].operand &&
                        place.byte_offset == plan_.places[value].byte_offset;
    const NodeId producer = body_.producer(value);
    if (is_own && producer != kNoNode && is_assembly(body_.node(producer).op))
      return schedule_pieces(body_.node(producer), place);
    stages_[in_rows() ? plan_.stage_keys[value] : StageKey{0, plan_.kernel.columns}].stores.push_back(
        {value, place});
  }

  void schedule_pieces(const Node& node, Place place) {
    const DType dtype = body_.type(node.result()).dtype;
    const int64_t element_bytes = static_cast<int64_t>(size_of(dtype));
    const bool is_pad = node.op == Op::pad && plan_.forms[node.result()] != plan_.forms[node.inputs[0]];
    if (is_pad) {
      const int64_t before = node.attributes[1], after = node.attributes[2];
      Stage& stage = stages_[plan_.stage_keys[node.inputs[0]]];
      Place behind = place;
      behind.byte_offset += (before + plan_.forms[node.inputs[0]].width) * element_bytes;
      if (before > 0) stage.fills.push_back({place, before, dtype});
      if (after > 0) stage.fills.push_back({behind, after, dtype});
      place.byte_offset += before * element_bytes;
    }
    for (ValueId piece : node.inputs) {
      schedule(piece, place);
      place.byte_offset += plan_.forms[piece].width * element_bytes;
    }
  }

  void keep_in_scratch(ValueId value) {
    constexpr int64_t kAlignment = 64;
    Place& place = plan_.places[value];
    place = {Place::Kind::scratch, 0, plan_.scratch_bytes};
    const int64_t bytes = plan_.forms[value].width * static_cast<int64_t>(size_of(body_.type(value).dtype));
    plan_.scratch_bytes += (bytes + kAlignment - 1) / kAlignment * kAlignment;
    schedule(value, place);
  }

  /// From the last stage to the first: what a stage reads from memory is computed by an earlier one.
  void walk_stages() {
    if (!in_rows()) return;
    std::set<StageKey> done;
    while (done.size() < stages_.size()) {
      auto next = stages_.rbegin();
      while (done.contains(next->first)) ++next;
      const StageKey key = next->first;
      done.insert(key);
      walked_[0].clear();
      walked_[1].clear();
      const Stage stage = next->second;  // a copy: the walk adds to earlier stages only
      for (const Store& store : stage.stores) walk(store.value, key, false);
      for (NodeId node : stage.reductions) walk(body_.node(node).inputs[0], key, false);
    }
  }

  void walk(ValueId value, const StageKey& reader, bool one_element) {
    if (body_.is_input(value) || plan_.is_stored_before(value, reader)) return;
    one_element = one_element || plan_.is_scalar(value);
    if (!walked_[one_element].insert(value).second) return;
    const NodeId producer = body_.producer(value);
    const Node& node = body_.node(producer);
    if (is_reduction(node.op)) return request_reduction(producer);
    if (is_assembly(node.op)) return keep_in_scratch(value);
    if (!one_element && !is_index_map(node.op) && plan_.stage_keys[value].level < reader.level &&
        costs_[value] > kRecomputeCost)
      return keep_in_scratch(value);
    for (ValueId input : node.inputs) walk(input, reader, one_element);
  }

  void request_reduction(NodeId id) {
    std::vector<NodeId>& reductions = stages_[plan_.stage_keys[body_.node(id).inputs[0]]].reductions;
    if (std::find(reductions.begin(), reductions.end(), id) == reductions.end()) reductions.push_back(id);
  }

  const Graph& body_;
  KernelPlan plan_;
  std::vector<int> costs_;
  std::map<StageKey, Stage> stages_;
  std::set<ValueId> walked_[2];
};

}  // namespace

bool KernelPlan::is_stored_before(ValueId value, const StageKey& reader) const {
  if (kernel.domain != Domain::rows || body().is_input(value)) return false;
  if (places[value].kind == Place::Kind::none) return false;
  return is_assembly(body().node(body().producer(value)).op) || stage_keys[value] < reader;
}

int64_t KernelPlan::part_columns() const {
  if (kernel.domain != Domain::rows || stages.size() != 1 || scratch_bytes > 0) return 0;
  const Stage& stage = stages.front();
  return stage.key.width > 1 && stage.reductions.empty() && stage.fills.empty() ? stage.key.width : 0;
}

KernelPlan plan_kernel(const KernelDomain& kernel) { return Planner(kernel).run(); }

}  // namespace calque::codegen
