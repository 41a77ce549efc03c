// Compiled functions: the door that compile() opens.
#include "compiler/compiled_function.h"

#include <fmt/format.h>

#include "compiler/explain.h"
#include "compiler/frame.h"
#include "compiler/log.h"
#include "compiler/segment.h"
#include "compiler/settings.h"

namespace calque {

bool CompiledFunction::ready(TraceId end, std::span<TensorImpl* const> live) {
  const TraceNode& node = tree_[end];
  if (!node.segment->covers(live, tree_[node.segment_begin].first_value)) compile_segment(end, live);
  return node.segment->covers(live, tree_[node.segment_begin].first_value);
}

void CompiledFunction::compile_segment(TraceId end, std::span<TensorImpl* const> live) {
  const TraceNode& node = tree_[end];
  const std::string name = fmt::format("{}.{}", options_.name, end);
  node.segment->compile(tree_, node.segment_begin, end, live, tree_[node.segment_begin].first_value, name, stats_);
}

void CompiledFunction::note_bound_reached() {
  warn_once("branches " + options_.name,
            fmt::format("{} went more than {} different ways and stays eager where it takes a new one; fn.explain() says "
                        "where the ways part",
                        options_.name, options_.most_branches));
}

CompileStats CompiledFunction::snapshot() const {
  const std::lock_guard lock(mutex_);
  CompileStats stats = stats_;
  for (TraceId id = 0; id < tree_.size(); ++id)
    if (const Segment* segment = tree_[id].segment.get(); segment && segment->compiled() && segment->compiled()->backward)
      stats.backward_plan_runs += segment->compiled()->backward->runs.load(std::memory_order_relaxed);
  return stats;
}

std::string CompiledFunction::explain() const {
  const std::lock_guard lock(mutex_);
  return explain_tree(tree_, options_.name);
}

std::string CompiledFunction::dump(const std::string& stage) const {
  const std::lock_guard lock(mutex_);
  return dump_tree(tree_, stage);
}

namespace detail {

CallScope::CallScope(CompiledFunction& function) : function_(&function) {
  // Inside another compiled function this one's ops are simply part of it.
  if (settings().disable_compile || thread_state.observer) return;
  if (!function.mutex().try_lock()) return;
  frame_ = new Frame(function);
}

CallScope::~CallScope() {
  if (!frame_) return;
  delete static_cast<Frame*>(frame_);
  function_->mutex().unlock();
}

void CallScope::finish() {
  if (frame_) static_cast<Frame*>(frame_)->finish();
}

std::shared_ptr<CompiledFunction> make_compiled_function(const CompileOptions& options) {
  return std::make_shared<CompiledFunction>(options);
}
CompileStats stats_of(const CompiledFunction& function) { return function.snapshot(); }
std::string explain(const CompiledFunction& function) { return function.explain(); }
std::string dump(const CompiledFunction& function, const std::string& stage) { return function.dump(stage); }

}  // namespace detail

}  // namespace calque
