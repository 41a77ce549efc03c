// Compiled functions: the door that compile() opens.
#include "compiler/compiled_function.h"

#include <fmt/format.h>

#include <thread>

#include "compiler/explain.h"
#include "compiler/frame.h"
#include "compiler/log.h"
#include "compiler/reasons.h"
#include "compiler/segment.h"
#include "compiler/settings.h"
#include "compiler/summary.h"
#include "compiler/trace_difference.h"
#include "ir/op/error.h"
#include "runtime/log.h"
#include "runtime/observer_post.h"

namespace calque {

bool CompiledFunction::ready(TraceId end, std::span<TensorImpl* const> live, uint32_t first_value) {
  const TraceNode& node = tree_[end];
  node.segment->select(tree_, end);
  if (node.segment->covers(live, first_value)) return true;
  const auto what = [] { return std::string("more values of a known way are held than before"); };
  if (node.segment->compiled() && !allows_recompilation(what)) return false;
  compile_segment(end, live, first_value);
  return node.segment->covers(live, first_value);
}

bool CompiledFunction::allows_recompilation(const std::function<std::string()>& what) {
  const OnRecompile stance = options_.on_recompile;
  if (stance == OnRecompile::eager) return false;
  ++stats_.recompilations;
  if (stance == OnRecompile::record && !settings().is_logged(LogTopic::recompile)) return true;
  const std::string sentence = options_.name + ": " + what();
  log(LogTopic::recompile, "{}", sentence);
  if (stance == OnRecompile::warn) warn(sentence);
  if (stance == OnRecompile::error) throw UserError(sentence + "; on_recompile = error asks for this exception");
  return true;
}

void CompiledFunction::compile_segment(TraceId end, std::span<TensorImpl* const> live, uint32_t first_value) {
  const TraceNode& node = tree_[end];
  const std::string name = fmt::format("{}.{}", options_.name, end);
  node.segment->select(tree_, end);
  node.segment->compile(tree_, node.segment_begin, end, live, first_value, name, stats_);
}

void CompiledFunction::note_bound_reached() {
  if (std::exchange(is_bound_noted_, true)) return;
  warn_once("branches " + options_.name,
            fmt::format("{} went more than {} different ways and stays eager where it takes a new one. {}; fn.explain() "
                        "says where the ways part",
                        options_.name, options_.most_branches, describe_most_varied(tree_)));
}

void CompiledFunction::read(FunctionRef<void()> reader) const {
  for (;;) {
    if (const std::unique_lock lock(mutex_, std::try_to_lock); lock.owns_lock()) return reader();
    Observer* const active = active_.load(std::memory_order_acquire);
    bool is_read = false;
    if (active) visit_elsewhere(*active, [&] {
        if (active_.load(std::memory_order_relaxed) != active) return;  // another call's, at the same address
        reader();
        is_read = true;
      });
    if (is_read) return;
    std::this_thread::yield();  // a call begins or ends
  }
}

CompileStats CompiledFunction::snapshot() const {
  CompileStats stats;
  read([&] { stats = snapshot_locked(); });
  return stats;
}

CompileStats CompiledFunction::snapshot_locked() const {
  CompileStats stats = stats_;
  stats.eager_calls = eager_calls_.load(std::memory_order_relaxed);
  stats.trace_nodes = tree_.op_count();
  stats.branches = static_cast<uint64_t>(tree_.branches());
  if (pure_) pure_->add_to(stats);
  for (TraceId id = 0; id < tree_.size(); ++id)
    if (const Segment* segment = tree_[id].segment.get()) segment->add_to(stats);
  return stats;
}

std::string CompiledFunction::explain() const {
  std::string text;
  read([&] { text = explain_locked(); });
  return text;
}

std::string CompiledFunction::explain_locked() const {
  std::string text = pure_ ? pure_->explain() : "";
  if (const uint64_t calls = eager_calls_.load(std::memory_order_relaxed); calls > 0)
    text += fmt::format("{} calls {}\n", calls, with_code(row(Reason::ran_eagerly).phrase));
  if (tree_.branches() >= options_.most_branches)
    text += fmt::format("it {}: {}; {}\n", with_code(row(Reason::too_many_ways).phrase), options_.most_branches,
                        row(Reason::too_many_ways).remedy);
  return text + explain_tree(tree_, options_.name);
}

std::string CompiledFunction::dump(const std::string& stage) const {
  std::string text;
  read([&] { text = dump_tree(tree_, stage); });
  return text;
}

namespace detail {

CallScope::CallScope(CompiledFunction& function) : function_(&function) {
  // Inside another compiled function this one's ops are simply part of it.
  if (thread_state.own) return;
  const bool waits = function.options().when_busy == WhenBusy::wait;
  if (!settings().disable_compile && waits) function.mutex().lock();
  else if (settings().disable_compile || !function.mutex().try_lock()) {
    function.count_eager_call();
    return;
  }
  frame_ = new Frame(function);
}

CallScope::~CallScope() {
  if (!frame_) return;
  delete frame_;
  function_->mutex().unlock();
}

void CallScope::finish() {
  if (frame_) frame_->finish();
}

std::shared_ptr<CompiledFunction> make_compiled_function(const CompileOptions& options, bool is_pure) {
  auto function = std::make_shared<CompiledFunction>(options, is_pure);
  note_for_summary(function);
  return function;
}
CompileStats stats_of(const CompiledFunction& function) { return function.snapshot(); }
std::string explain(const CompiledFunction& function) { return function.explain(); }
std::string dump(const CompiledFunction& function, const std::string& stage) { return function.dump(stage); }

}  // namespace detail

}  // namespace calque
