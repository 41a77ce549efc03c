// Compiling and running a segment.
#include "compiler/segment.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>

#include "compiler/expected_values.h"
#include "compiler/log.h"
#include "compiler/region_run.h"
#include "compiler/replay.h"
#include "compiler/resize.h"
#include "compiler/rolled_segment.h"
#include "compiler/settings.h"
#include "compiler/step_sequences.h"
#include "ir/graph/printer.h"
#include "ir/op/error.h"
#include "passes/loops/roll.h"

namespace calque {

namespace {

/// CALQUE_VERIFY: what was made without unrolling is what unrolling and rolling gives.
void verify_rolled(const SegmentGraph& rolled, const SegmentGraph& recorded) {
  const std::string made = print(rolled.graph), expected = print(passes::roll(with_sequences_of(recorded, rolled).graph));
  if (made != expected)
    throw InternalError(fmt::format("verify: the rolled program\n{}\nis, unrolled and rolled,\n{}", made, expected));
}

/// Which held values are eager execution's but for rounding: gradients of loops went into them.
std::vector<bool> rounded_values(const CompiledSegment& compiled) {
  const std::vector<bool> behind = values_behind_gradients(compiled.traced.graph);
  passes::RolledNodes rolled;
  passes::roll(compiled.recorded().graph, rolled);
  std::vector<bool> rounded;
  for (const HeldPlace& place : compiled.held)
    rounded.push_back(behind[compiled.traced.graph.outputs()[place.entry]] && !rolled.empty());
  return rounded;
}

}  // namespace

void Segment::select(const TraceTree& tree, TraceId end) {
  if (tree.generation() == generation_ && !plans_.empty()) return;
  generation_ = tree.generation();
  const BoundSizes sizes = tree.bound_sizes(end);
  // What is held hardly depends on sizes; but its numbers depend on how often loops ran.
  const bool keeps_held = !plans_.empty() && tree[tree[end].parent].level == 0;
  const std::vector<uint32_t> held = keeps_held ? current().held : std::vector<uint32_t>();
  const auto known = std::find_if(plans_.begin(), plans_.end(), [&](const SizedPlan& plan) { return plan.sizes == sizes; });
  current_ = static_cast<size_t>(known - plans_.begin());
  if (known == plans_.end() && plans_.size() < kMostPlans) {
    plans_.push_back({sizes, held, nullptr, "", 0});
  } else if (known == plans_.end()) {
    const auto oldest = std::min_element(plans_.begin(), plans_.end(), [](const SizedPlan& a, const SizedPlan& b) {
      return a.last_use < b.last_use;
    });
    forget(*oldest);
    *oldest = {sizes, held, nullptr, "", 0};
    current_ = static_cast<size_t>(oldest - plans_.begin());
  }
  current().last_use = ++clock_;
}

void Segment::forget(const SizedPlan& plan) {
  if (!plan.compiled) return;
  past_code_generations_ += plan.compiled->code_generations.load(std::memory_order_relaxed);
  if (plan.compiled->backward) past_backward_runs_ += plan.compiled->backward->runs.load(std::memory_order_relaxed);
}

size_t Segment::plan_count() const {
  return static_cast<size_t>(
      std::count_if(plans_.begin(), plans_.end(), [](const SizedPlan& plan) { return plan.compiled != nullptr; }));
}

void Segment::add_sizes(const BoundSizes& sizes) {
  for (SizedPlan& plan : plans_) {
    for (const auto& [symbol, value] : sizes)
      if (std::ranges::find(plan.sizes, symbol, &BoundSizes::value_type::first) == plan.sizes.end())
        plan.sizes.emplace_back(symbol, value);
    std::ranges::sort(plan.sizes);
  }
}

void Segment::adopt(const Segment& other, const BoundSizes& sizes) {
  if (!other.compiled() || plans_.size() == kMostPlans) return;
  plans_.push_back(other.current());
  plans_.back().sizes = sizes;
}

bool Segment::covers(std::span<TensorImpl* const> live, uint32_t first_value) const {
  if (!compiled()) return false;
  return std::all_of(live.begin(), live.end(), [&](const TensorImpl* impl) {
    return std::binary_search(current().held.begin(), current().held.end(), impl->value_id - first_value);
  });
}

WriteRecorded Segment::write_later(const TraceTree& tree, TraceId end, const SegmentGraph& rolled) {
  if (!snapshot_ || snapshot_revision_ != tree.revision()) {
    snapshot_ = tree.snapshot();
    snapshot_revision_ = tree.revision();
  }
  return [tree = snapshot_, end, sizes = current().sizes, held = rolled.held_numbers(), name = rolled.graph.name()] {
    const ResizedWay way = resized_way(*tree, end, sizes);
    return make_segment_graph(way.tree, way.begin, way.end, held, name);
  };
}

std::shared_ptr<const CompiledSegment> Segment::compile_program(const TraceTree& tree, TraceId begin, TraceId end,
                                                                std::span<const uint32_t> held, const std::string& name,
                                                                CompileStats& stats) {
  const bool may_roll = std::ranges::count(settings().disabled_passes, "roll") == 0;
  std::optional<SegmentGraph> rolled = may_roll ? make_rolled_graph(tree, begin, end, held, name, neighbours_) : std::nullopt;
  const RowLength row_length = plan_count() > (current().compiled ? 1u : 0u) ? RowLength::any : RowLength::own;
  if (!rolled) return compile_segment(make_segment_graph(tree, begin, end, held, name), name, row_length);
  WriteRecorded recorded = write_later(tree, end, *rolled);
  if (settings().verify) verify_rolled(*rolled, recorded());
  ++stats.rolled_plans;
  return compile_segment(std::move(*rolled), name, row_length, std::move(recorded));
}

bool Segment::compile(const TraceTree& tree, TraceId begin, TraceId end, std::span<TensorImpl* const> live,
                      uint32_t first_value, const std::string& name, CompileStats& stats) {
  SizedPlan& plan = current();
  if (!plan.failure.empty()) return false;
  const auto start = std::chrono::steady_clock::now();
  std::vector<uint32_t> held = plan.held;
  for (const TensorImpl* impl : live) held.push_back(impl->value_id - first_value);
  std::sort(held.begin(), held.end());
  held.erase(std::unique(held.begin(), held.end()), held.end());
  try {
    std::shared_ptr<const CompiledSegment> made = compile_program(tree, begin, end, held, name, stats);
    forget(plan);
    plan.compiled = std::move(made);
    plan.held = plan.compiled->traced.held_numbers();
  } catch (const EnvironmentError& error) {  // what the machine lacks, it lacks for every function
    plan.failure = error.what();
    warn_once("compile" + plan.failure,
              fmt::format("{} runs eagerly: it could not be compiled: {} (said once for all functions)", name, plan.failure));
    return false;
  } catch (const std::exception& error) {
    plan.failure = error.what();
    warn_once("compile " + name + plan.failure,
              fmt::format("{} runs eagerly: it could not be compiled: {}", name, plan.failure));
    return false;
  }
  ++(plan.compiled->is_from_cache() ? stats.cache_hits : stats.compilations);
  const auto elapsed = std::chrono::steady_clock::now() - start;
  stats.compile_us += static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::microseconds>(elapsed).count());
  return true;
}

void Segment::run(std::span<const Tensor> slots, std::span<TensorImpl* const> live, uint32_t first_value,
                  CompileStats& stats) {
  const SizedPlan& plan = current();
  RegionRun region(plan.compiled, slots);
  ++stats.plan_runs;
  stats.kernel_launches += plan.compiled->forward->launch_count();
  stats.loop_runs += plan.compiled->forward->loop_count();
  const std::vector<bool> is_rounded = expected_.empty() ? std::vector<bool>() : rounded_values(*plan.compiled);
  // In the order in which they were asked for, so that views are views of what the user holds.
  for (TensorImpl* impl : live) {
    const uint32_t value = impl->value_id - first_value;
    const size_t index = std::lower_bound(plan.held.begin(), plan.held.end(), value) - plan.held.begin();
    const Tensor made = region.held(index);
    if (impl->is_pending()) {
      fill_placeholder(*impl, *made.impl());
      region.adopt(index, *impl);
    }
    if (!expected_.empty()) check_value(*made.impl(), *expected_[value].impl(), value, !is_rounded[index]);
  }
  expected_.clear();
}

void Segment::add_to(CompileStats& stats) const {
  stats.code_generations += past_code_generations_;
  stats.backward_plan_runs += past_backward_runs_;
  for (const SizedPlan& plan : plans_) {
    if (!plan.compiled) continue;
    stats.code_generations += plan.compiled->code_generations.load(std::memory_order_relaxed);
    if (plan.compiled->backward) stats.backward_plan_runs += plan.compiled->backward->runs.load(std::memory_order_relaxed);
  }
}

}  // namespace calque
