// The summary at the end of a process.
#include "compiler/summary.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <mutex>

#include "calque/cache.h"
#include "compiler/compiled_function.h"
#include "compiler/log.h"
#include "compiler/segment.h"

namespace calque {

namespace {

/// Functions are kept alive to be counted; only a process that asks for a summary pays for that.
struct Noted {
  std::mutex mutex;
  std::vector<std::shared_ptr<CompiledFunction>> functions;
};

Noted& noted() {
  static auto* const all = new Noted;  // outlives every static destructor
  return *all;
}

struct Totals {
  CompileStats stats;
  size_t segments = 0, failed = 0, peak_bytes = 0;
  std::string failure, busiest;
  uint64_t most_calls = 0;
};

void add_segments(const CompiledFunction& function, Totals& totals) {
  const TraceTree& tree = function.tree();
  for (TraceId id = 0; id < tree.size(); ++id) {
    const Segment* segment = tree[id].segment.get();
    if (!segment) continue;
    ++totals.segments;
    if (const CompiledSegment* compiled = segment->compiled()) {
      totals.peak_bytes = std::max(totals.peak_bytes, compiled->forward->peak_bytes());
      if (compiled->backward) totals.peak_bytes = std::max(totals.peak_bytes, compiled->backward->plan->peak_bytes());
    } else if (!segment->failure().empty()) {
      ++totals.failed;
      totals.failure = segment->failure();
    }
  }
}

void add(CompiledFunction& function, Totals& totals) {
  // At the end of a process a thread may still be inside.
  const std::unique_lock lock(function.mutex(), std::try_to_lock);
  if (!lock.owns_lock()) return;
  const CompileStats one = function.snapshot();
  CompileStats& all = totals.stats;
  for (const auto member :
       {&CompileStats::calls, &CompileStats::eager_calls, &CompileStats::recorded_calls,
        &CompileStats::matched_ops, &CompileStats::plan_runs, &CompileStats::backward_plan_runs,
        &CompileStats::replayed_ops, &CompileStats::compilations, &CompileStats::cache_hits,
        &CompileStats::compile_us,
        &CompileStats::rolled_plans, &CompileStats::code_generations, &CompileStats::kernel_launches, &CompileStats::loop_runs,
        &CompileStats::recompilations, &CompileStats::trace_nodes,
        &CompileStats::branches, &CompileStats::entered_calls, &CompileStats::keys, &CompileStats::audits})
    all.*member += one.*member;
  add_segments(function, totals);
  if (one.calls < totals.most_calls) return;
  totals.most_calls = one.calls;
  totals.busiest = function.options().name;
}

void write_summary() {
  for (const std::string& line : summary_lines()) log(LogTopic::summary, "{}", line);
}

}  // namespace

void note_for_summary(const std::shared_ptr<CompiledFunction>& function) {
  if (!settings().is_logged(LogTopic::summary)) return;
  static const bool once = [] { return std::atexit(write_summary) == 0; }();
  static_cast<void>(once);
  const std::lock_guard lock(noted().mutex);
  noted().functions.push_back(function);
}

std::vector<std::string> summary_lines() {
  const std::lock_guard lock(noted().mutex);
  Totals totals;
  for (const auto& function : noted().functions) add(*function, totals);
  const CompileStats& s = totals.stats;
  const CacheStats cache = cache_stats();
  return {
      fmt::format("{} compiled functions; the busiest is {} with {} calls", noted().functions.size(),
                  totals.busiest, totals.most_calls),
      fmt::format(
          "calls: {} observed or entered, of them {} recorded something new; {} ran eagerly as a whole",
          s.calls, s.recorded_calls, s.eager_calls),
      fmt::format("ops: {} matched, {} recorded in {} ways beside the first, {} run again after a mismatch",
                  s.matched_ops, s.trace_nodes, s.branches, s.replayed_ops),
      fmt::format("segments: {}, of which {} could not be compiled{}", totals.segments, totals.failed,
                  totals.failed ? ": " + totals.failure : ""),
      fmt::format("plans: {} compiled ({} kernels generated), {} from the cache, {} made again; {:.1f} ms in all",
                  s.compilations, s.code_generations, s.cache_hits, s.recompilations, static_cast<double>(s.compile_us) / 1e3),
      fmt::format("plan runs: {} forward, {} backward; {} kernel launches, {} loops; {} threads for each plan", s.plan_runs,
                  s.backward_plan_runs, s.kernel_launches, s.loop_runs, ThreadPool::instance().num_threads()),
      fmt::format("memory: {} bytes at the peak of the largest plan, beside its inputs", totals.peak_bytes),
      fmt::format("pure: {} calls entered, {} keys, {} audits", s.entered_calls, s.keys, s.audits),
      fmt::format("cache: {} found in memory, {} on disk, {} nowhere, {} faults; {} programs of {} bytes in memory",
                  cache.memory_hits, cache.disk_hits, cache.misses, cache.faults, cache.memory_programs,
                  cache.memory_bytes),
      "fn.explain() accounts for every op; docs/reasons.md says what each code means",
  };
}

}  // namespace calque
