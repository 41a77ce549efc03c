// Runs pure functions without their code.
#include "compiler/pure_program.h"

#include <algorithm>

#include "calque/random.h"
#include "compiler/key_hash.h"
#include "compiler/region_run.h"
#include "ir/op/error.h"
#include "runtime/inline_array.h"
#include "runtime/view_origin.h"

namespace calque {

namespace {

/// A number's tensor of our own: the call's may be in somebody's hands.
Tensor copy_of(const Tensor& tensor) {
  Tensor copy = empty(tensor.impl()->type());
  kernels::copy(tensor.impl()->view(), copy.impl()->view());
  return copy;
}

}  // namespace

PureProgram::PureProgram(uint64_t function, uint64_t hash, std::span<const uint64_t> words,
                         const PureTrace& trace, std::shared_ptr<const CompiledSegment> compiled,
                         std::shared_ptr<const void> prototype, uint64_t calls)
    : function_(function),
      hash_(hash),
      words_(words.begin(), words.end()),
      compiled_(std::move(compiled)),
      prototype_(std::move(prototype)),
      draws_(trace.draws),
      slots_(trace.slots),
      ties_(trace.ties),
      variables_(trace.variables),
      // Without the first word, which is an address: the same calls are audited in every run of a program.
      audit_seed_(hash_words(words.subspan(1), words.size())),
      calls_(calls),
      next_audit_(audit_after(calls)) {
  for (const Number& number : trace.numbers) numbers_.push_back(copy_of(number.tensor));
  for (const Source& source : trace.results) results_.push_back(made_from(source));
  for (const VariableWrite& write : trace.writes)
    writes_.emplace_back(write.variable, made_from(write.source));
}

PureProgram::Made PureProgram::made_from(const Source& source) const {
  if (source.kind != Source::Kind::value) return {source, 0};
  const std::vector<HeldPlace>& held = compiled_->held;
  const auto found = std::ranges::lower_bound(held, source.index, {}, &HeldPlace::value);
  if (found == held.end() || found->value != source.index)
    throw InternalError("pure: a plan does not make the result");
  return {source, static_cast<int>(found - held.begin())};
}

/// Calls at about 4, 8, 16, ...: between 3/4 and 5/4 of each, as the key's hash says.
uint64_t PureProgram::audit_after(uint64_t call) const {
  for (int power = 2; power < 62; ++power) {
    const uint64_t centre = uint64_t{1} << power, half = centre / 2;
    const uint64_t word = static_cast<uint64_t>(power);
    const uint64_t due = centre - half / 2 + hash_words({&word, 1}, audit_seed_) % half;
    if (due > call) return due;
  }
  return ~uint64_t{0};
}

TensorImpl* PureProgram::find(const Source& source, std::span<TensorImpl* const> arguments) const {
  switch (source.kind) {
    case Source::Kind::argument:
      return arguments[source.index];
    case Source::Kind::number:
      return numbers_[source.index].impl();
    case Source::Kind::variable: {
      const Tensor* variable = source.variable->variable.load(std::memory_order_acquire);
      return variable ? variable->impl() : nullptr;
    }
    default:
      return nullptr;
  }
}

bool PureProgram::fits(std::span<TensorImpl* const> arguments) const {
  for (const VariableUse& use : variables_) {
    const Tensor* const variable = use.variable->variable.load(std::memory_order_acquire);
    if (!variable) return false;
    TensorImpl* const tensor = variable->impl();
    if (use.was_empty != !tensor) return false;
    if (tensor && tensor->is_pending()) return false;
    if (use.read && tensor && tensor->storage->changes_unseen() != use.changes_unseen) return false;
    if (tensor) refresh_history(*tensor);
    if (use.read && !use.read->fits(*tensor)) return false;
  }
  for (const Tie& tie : ties_)
    if (find(tie.chosen, arguments) != find(tie.other, arguments)) return false;
  return true;
}

bool PureProgram::run(std::span<TensorImpl* const> arguments, detail::EnteredResult& result) {
  if (!fits(arguments)) return false;
  InlineArray<Tensor, 24> slots(slots_.size());
  const Tensor generator_state = draws_.empty() ? Tensor() : default_generator().state();
  InlineArray<Tensor, 4> draws(draws_.size());
  for (size_t i = 0; i < draws.size(); ++i) draws[i] = default_generator().draw(draws_[i]);
  for (size_t i = 0; i < slots.size(); ++i)
    slots[i] = slots_[i].kind == Source::Kind::draw ? draws[slots_[i].index]
                                                    : Tensor::share(find(slots_[i], arguments));

  std::optional<RegionRun> region;
  if (compiled_) try {
      region.emplace(compiled_, std::span<const Tensor>(slots.data(), slots.size()));
    } catch (...) {
      if (generator_state) default_generator().set_state(generator_state);  // nothing was drawn
      throw;
    }
  if (results_.size() > detail::EnteredResult::kInline) {
    result.more.resize(results_.size());
    result.tensors = result.more.data();
  }
  const auto make = [&](const Made& made) -> Tensor {
    if (made.source.kind == Source::Kind::value) return region->held(made.held);
    TensorImpl* const impl = find(made.source, arguments);
    return impl ? Tensor::share(impl) : Tensor();
  };
  for (size_t i = 0; i < results_.size(); ++i) result.tensors[i] = make(results_[i]);
  if (!writes_.empty()) {
    std::vector<Tensor> values;  // all read before any is assigned
    for (const auto& [variable, made] : writes_) values.push_back(make(made));
    for (size_t i = 0; i < values.size(); ++i)
      *writes_[i].first->variable.load(std::memory_order_acquire) = std::move(values[i]);
  }
  result.prototype = prototype_.get();
  runs_.fetch_add(1, std::memory_order_relaxed);
  return true;
}

}  // namespace calque
