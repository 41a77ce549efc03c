// Learns and finds the programs of pure functions.
#include "compiler/pure_table.h"

#include <fmt/format.h>

#include "compiler/compiled_function.h"
#include "compiler/frame.h"
#include "compiler/key_hash.h"
#include "compiler/log.h"
#include "compiler/reasons.h"
#include "compiler/segment.h"

namespace calque {

namespace {

std::atomic<uint64_t> next_id{1};

/// The programs that this thread entered last, by hash: it holds them, so that nobody takes one away while it
/// runs.
struct ThreadPrograms {
  static constexpr size_t kCount = 64;
  PureProgram* programs[kCount] = {};
  ~ThreadPrograms() {
    for (PureProgram* program : programs)
      if (program) program->release();
  }
};
thread_local ThreadPrograms thread_programs;

}  // namespace

PureTable::PureTable(const CompileOptions& options)
    : id_(next_id.fetch_add(1, std::memory_order_relaxed)), options_(options) {}

/// Programs may stay with threads that entered them until those enter others; what they refer to outlives the
/// function.
PureTable::~PureTable() {
  for (auto& [hash, key] : keys_)
    if (key.program) key.program->revoke();
}

PureProgram* PureTable::find(std::span<const uint64_t> words) {
  const uint64_t hash = hash_words(words, id_);
  PureProgram*& cached = thread_programs.programs[hash % ThreadPrograms::kCount];
  if (cached && cached->is_for(id_, hash, words) && !cached->is_revoked()) return cached;
  const std::lock_guard lock(mutex_);
  const auto found = keys_.find(hash);
  if (found == keys_.end() || !found->second.program || found->second.words.size() != words.size() ||
      !std::equal(words.begin(), words.end(), found->second.words.begin()))
    return nullptr;
  found->second.last_use = ++clock_;
  PureProgram* const program = found->second.program.get();
  program->retain();
  if (cached) cached->release();
  return cached = program;
}

void PureTable::forget(const PureProgram& program) {
  const std::lock_guard lock(mutex_);
  for (auto& [hash, key] : keys_)
    if (key.program.get() == &program) {
      drop(key);
      key.trace.reset();
    }
}

void PureTable::forget_all() {
  const std::lock_guard lock(mutex_);
  for (auto& [hash, key] : keys_) {
    drop(key);
    key.was_known = key.trace.has_value();
    key.trace.reset();
  }
}

void PureTable::drop(Key& key) {
  if (!key.program) return;
  past_runs_ += key.program->runs();
  if (const CompiledSegment* compiled = key.program->compiled()) {
    past_plan_runs_ += key.program->runs();
    past_launches_ += key.program->runs() * compiled->forward->launch_count();
    past_loops_ += key.program->runs() * compiled->forward->loop_count();
  }
  key.calls = key.program->calls();
  key.program->revoke();
  key.program = {};
}

PureTable::Key& PureTable::key_of(std::span<const uint64_t> words, uint64_t hash) {
  auto found = keys_.find(hash);
  if (found != keys_.end() &&
      !std::equal(words.begin(), words.end(), found->second.words.begin(), found->second.words.end())) {
    drop(found->second);  // another key of the same hash
    keys_.erase(found);
    found = keys_.end();
  }
  if (found == keys_.end()) {
    if (keys_.size() >= static_cast<size_t>(std::max(1, options_.most_keys))) make_room();
    found = keys_.try_emplace(hash).first;
    found->second.words.assign(words.begin(), words.end());
  }
  found->second.last_use = ++clock_;
  return found->second;
}

/// The key that was not used for longest goes; those entered since the last look are spared.
void PureTable::make_room() {
  auto oldest = keys_.end();
  for (auto entry = keys_.begin(); entry != keys_.end(); ++entry) {
    Key& key = entry->second;
    if (key.program && key.program->calls() != key.calls_at_last_look) {
      key.calls_at_last_look = key.program->calls();
      key.last_use = clock_;
    }
    if (oldest == keys_.end() || key.last_use < oldest->second.last_use) oldest = entry;
  }
  drop(oldest->second);
  keys_.erase(oldest);
  if (++dropped_ == static_cast<uint64_t>(options_.most_keys))
    warn_once("keys " + options_.name, fmt::format("{} (pure) is called with more kinds of arguments than "
                                                   "the {} that it keeps (most_keys): numbers that "
                                                   "change from call to call are better passed as tensors",
                                                   options_.name, options_.most_keys));
}

void PureTable::learn(CompiledFunction& function, std::span<const uint64_t> words, PureTrace trace,
                      std::shared_ptr<const void> prototype) {
  const uint64_t hash = hash_words(words, id_);
  const std::lock_guard lock(mutex_);
  Key& key = key_of(words, hash);
  ++key.calls;
  key.refusal.clear();
  if (!key.trace || !same_situation(*key.trace, trace)) {
    drop(key);
    key.trace = std::move(trace);
    if (is_known_way(function.tree(), *key.trace)) make_program(function, key, hash, std::move(prototype));
    return;
  }
  ++audits_;
  const std::string what = difference(function.tree(), *key.trace, trace);
  if (!what.empty()) return disbelieve(function, what);
  if (key.program) return;
  key.trace = std::move(trace);
  make_program(function, key, hash, std::move(prototype));
}

bool PureTable::is_known_way(const TraceTree& tree, const PureTrace& trace) const {
  return std::any_of(keys_.begin(), keys_.end(), [&](const auto& entry) {
    const Key& other = entry.second;
    return other.trace && &*other.trace != &trace && other.trace->end == trace.end && other.trace->root == trace.root &&
           same_situation(*other.trace, trace) && difference(tree, *other.trace, trace).empty();
  });
}

void PureTable::make_program(CompiledFunction& function, Key& key, uint64_t hash,
                             std::shared_ptr<const void> prototype) {
  const PureTrace& trace = *key.trace;
  const auto is_value = [](const Source& source) { return source.kind == Source::Kind::value; };
  const bool needs_plan = std::any_of(trace.results.begin(), trace.results.end(), is_value) ||
                          std::any_of(trace.writes.begin(), trace.writes.end(),
                                      [&](const VariableWrite& write) { return is_value(write.source); });
  std::shared_ptr<const CompiledSegment> compiled;
  if (needs_plan) {
    Segment& segment = *function.tree()[trace.end].segment;
    segment.select(function.tree(), trace.end);
    compiled = segment.shared();
    if (!compiled) {
      key.refusal = segment.failure().empty() ? "its plan is not made yet" : segment.failure();
      return;
    }
  }
  key.program = Ref<PureProgram>::adopt(
      new PureProgram(id_, hash, key.words, trace, std::move(compiled), std::move(prototype), key.calls));
}

namespace {

/// An op that fails for its values, and a full tree, may come to any function.
bool says_nothing_of_others(const std::string& reason) {
  return reason.starts_with(kAnOpFails) || reason.starts_with(kTooManyWays) || reason.starts_with(kStepsDiffer);
}

}  // namespace

void PureTable::refuse(CompiledFunction& function, std::span<const uint64_t> words,
                       const std::string& reason) {
  const uint64_t hash = hash_words(words, id_);
  const std::lock_guard lock(mutex_);
  Key& key = key_of(words, hash);
  ++key.calls;
  // What calls of this key did twice without, and now does: the same difference as another op.
  if (key.program && !says_nothing_of_others(reason))
    return disbelieve(function, reason + ", and earlier calls did not do that");
  drop(key);
  key.trace.reset();
  if (key.refusal.empty())
    log(LogTopic::recompile, "{} (pure) is matched for one kind of arguments: {}", function.options().name,
        reason);
  key.refusal = reason;
}

void PureTable::refuse_new_order(CompiledFunction& function, std::span<const uint64_t> words, const std::string& reason) {
  {
    const uint64_t hash = hash_words(words, id_);
    const std::lock_guard lock(mutex_);
    if (key_of(words, hash).was_known)
      return disbelieve(function, "the steps of a loop come in another order than before");
  }
  refuse(function, words, reason);
}

void PureTable::disbelieve(CompiledFunction& function, const std::string& what) {
  is_believed_.store(false, std::memory_order_relaxed);
  for (auto& [hash, key] : keys_) drop(key);
  disbelief_ = what;
  warn_once(
      "pure " + std::to_string(id_),
      fmt::format("{} was declared pure and is not: {}. From now on its code runs at every call; {}",
                  function.options().name, what,
                  past_runs_ == 0 ? "no call has missed the change"
                                  : "calls since the audit before this one may have missed the change"));
}

void PureTable::add_to(CompileStats& stats) const {
  const std::lock_guard lock(mutex_);
  uint64_t runs = past_runs_, plan_runs = past_plan_runs_, launches = past_launches_, loops = past_loops_;
  for (const auto& [hash, key] : keys_) {
    if (!key.program) continue;
    runs += key.program->runs();
    if (const CompiledSegment* compiled = key.program->compiled()) {
      plan_runs += key.program->runs();
      launches += key.program->runs() * compiled->forward->launch_count();
      loops += key.program->runs() * compiled->forward->loop_count();
    }
  }
  stats.calls += runs;
  stats.entered_calls = runs;
  stats.plan_runs += plan_runs;
  stats.kernel_launches += launches;
  stats.loop_runs += loops;
  stats.keys = keys_.size();
  stats.audits = audits_;
  stats.dropped_keys = dropped_;
}

std::string PureTable::explain() const {
  const std::lock_guard lock(mutex_);
  if (keys_.empty()) return "";
  if (!is_believed())
    return fmt::format("{}: {}. Its code runs at every call\n", with_code(row(Reason::not_pure).phrase), disbelief_);
  std::string text = fmt::format("pure: {} keys, {} audits\n", keys_.size(), audits_);
  for (const auto& [hash, key] : keys_)
    text += fmt::format("  key {:016x}: {}\n", hash,
                        key.program ? fmt::format("entered {} times", key.program->runs())
                        : !key.refusal.empty()
                            ? "its code runs at every call: " + with_code(key.refusal)
                            : fmt::format("seen {} times, entered once seen twice alike", key.calls));
  return text;
}

}  // namespace calque
