// The keys of one pure function, and what was learned of each.
#pragma once

#include <atomic>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "compiler/pure_program.h"

namespace calque {

class CompiledFunction;

class PureTable {
 public:
  explicit PureTable(const CompileOptions& options);
  ~PureTable();

  /// The program of a key; null when there is none to enter. Takes no lock where this thread entered it
  /// before.
  PureProgram* find(std::span<const uint64_t> words);
  /// The program did not fit registered state: the key is learned anew.
  void forget(const PureProgram& program);
  /// Ways that keys went are gone, for a call took the steps of a loop in a new order: all are learned anew.
  void forget_all();

  /// What an observed call of the key did, or why that cannot be repeated. `function` is locked by the
  /// caller.
  void learn(CompiledFunction& function, std::span<const uint64_t> words, PureTrace trace,
             std::shared_ptr<const void> prototype);
  void refuse(CompiledFunction& function, std::span<const uint64_t> words, const std::string& reason);
  /// The call that forget_all() was about. One whose key was known before has shown that the function is not pure.
  void refuse_new_order(CompiledFunction& function, std::span<const uint64_t> words, const std::string& reason);

  /// False when the function was found out not to be pure.
  bool is_believed() const { return is_believed_.load(std::memory_order_relaxed); }

  void add_to(CompileStats& stats) const;
  std::string explain() const;

 private:
  struct Key {
    std::vector<uint64_t> words;
    uint64_t calls = 0;  // before there was a program
    uint64_t last_use = 0, calls_at_last_look = 0;
    std::optional<PureTrace> trace;
    Ref<PureProgram> program;
    std::string refusal;  // why its calls are matched
    bool was_known = false;  // when all were forgotten
  };

  Key& key_of(std::span<const uint64_t> words, uint64_t hash);
  void make_room();
  void drop(Key& key);
  void disbelieve(CompiledFunction& function, const std::string& what);
  /// Whether calls of another key, with other sizes, were found to do the same.
  bool is_known_way(const TraceTree& tree, const PureTrace& trace) const;
  void make_program(CompiledFunction& function, Key& key, uint64_t hash,
                    std::shared_ptr<const void> prototype);

  const uint64_t id_;
  const CompileOptions& options_;
  std::atomic<bool> is_believed_{true};
  mutable std::mutex mutex_;
  std::unordered_map<uint64_t, Key> keys_;
  std::string disbelief_;
  uint64_t clock_ = 0, audits_ = 0, dropped_ = 0;
  // Of keys that were dropped.
  uint64_t past_runs_ = 0, past_launches_ = 0, past_loops_ = 0, past_plan_runs_ = 0;
};

}  // namespace calque
