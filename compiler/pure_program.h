// A call of a pure function without its code: the plan, where its inputs come from, and where its outputs go.
#pragma once

#include <atomic>
#include <memory>
#include <vector>

#include "compiler/compiled_segment.h"
#include "compiler/pure_trace.h"

namespace calque {

/// Of one key; unchanged once made, but for its counters.
class PureProgram {
 public:
  PureProgram(uint64_t function, uint64_t hash, std::span<const uint64_t> words, const PureTrace& trace,
              std::shared_ptr<const CompiledSegment> compiled, std::shared_ptr<const void> prototype,
              uint64_t calls);

  bool is_for(uint64_t function, uint64_t hash, std::span<const uint64_t> words) const {
    return hash_ == hash && function_ == function && words_.size() == words.size() &&
           std::equal(words.begin(), words.end(), words_.begin());
  }

  /// Counts a call. False when it is one to be audited.
  bool count_call(bool audits) {
    const uint64_t call = calls_.fetch_add(1, std::memory_order_relaxed) + 1;
    uint64_t due = next_audit_.load(std::memory_order_relaxed);
    if (call < due || !audits) return true;
    return !next_audit_.compare_exchange_strong(due, audit_after(due), std::memory_order_relaxed);
  }

  /// Gives the result's tensors and assigns to registered state. False, and nothing happened, when registered
  /// state is not what it was when the program was made. Throws what an op throws for bad values; nothing
  /// happened then either.
  bool run(std::span<TensorImpl* const> arguments, detail::EnteredResult& result);

  /// Whether registered state is as it was when the program was made; the key says what arguments are.
  bool fits(std::span<TensorImpl* const> arguments) const;

  /// Nobody is to enter it any more.
  void revoke() { is_revoked_.store(true, std::memory_order_relaxed); }
  bool is_revoked() const { return is_revoked_.load(std::memory_order_relaxed); }

  uint64_t calls() const { return calls_.load(std::memory_order_relaxed); }
  uint64_t runs() const { return runs_.load(std::memory_order_relaxed); }
  const CompiledSegment* compiled() const { return compiled_.get(); }

  void retain() { references_.fetch_add(1, std::memory_order_relaxed); }
  void release() noexcept {
    if (references_.fetch_sub(1, std::memory_order_acq_rel) == 1) delete this;
  }

 private:
  struct Made {
    Source source;
    int held = 0;  // of a value: its index among the held values of the segment
  };

  Made made_from(const Source& source) const;
  /// The tensor at a place outside; null where there is none.
  TensorImpl* find(const Source& source, std::span<TensorImpl* const> arguments) const;
  uint64_t audit_after(uint64_t call) const;

  std::atomic<int32_t> references_{1};
  uint64_t function_, hash_;
  std::vector<uint64_t> words_;
  std::shared_ptr<const CompiledSegment> compiled_;  // null when no op is needed
  std::shared_ptr<const void> prototype_;
  std::vector<int64_t> draws_;
  std::vector<Source> slots_;
  std::vector<Tensor> numbers_;
  std::vector<Made> results_;
  std::vector<std::pair<VariableRef, Made>> writes_;
  std::vector<Tie> ties_;
  std::vector<VariableUse> variables_;
  uint64_t audit_seed_;
  std::atomic<uint64_t> calls_, runs_{0}, next_audit_;
  std::atomic<bool> is_revoked_{false};
};

}  // namespace calque
