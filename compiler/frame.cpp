// One call from its beginning to its end: recording, segments, and replaying what was deferred. frame_match.cpp has the matching.
#include "compiler/frame.h"

#include <algorithm>
#include <exception>
#include <set>

#include "compiler/compiled_function.h"
#include "compiler/cut_way.h"
#include "compiler/find_iterations.h"
#include "compiler/log.h"
#include "compiler/merge_ways.h"
#include "compiler/replay.h"
#include "compiler/roll_way.h"
#include "compiler/segment.h"
#include "compiler/settings.h"
#include "compiler/trace_difference.h"
#include "ir/op/error.h"
#include "runtime/dispatch.h"
#include "runtime/state.h"
#include "runtime/view_origin.h"

namespace calque {

Frame::Frame(CompiledFunction& function)
    : function_(function),
      tree_(function.tree()),
      post_(ObserverPost::of_this_thread()),
      root_(tree_.root(mode_fingerprint() ^ static_cast<uint64_t>(thread_state.grad_enabled))),
      cursor_(root_),
      segment_begin_(root_),
      slots_(function.scratch().slots) {
  notes_.end = root_;
  live_.previous = live_.next = &live_;
  outer_ = std::exchange(thread_state.observer, this);
  thread_state.own = this;
  ++function_.stats().calls;
  post_.open(*this);
  function_.set_active(this);
}

/// Without finish(): the function threw. What it computed so far may be held by somebody, so it is computed.
Frame::~Frame() {
  const OwnerLock::Inside inside(post_.lock());
  thread_state.observer = outer_;
  try {
    if (live_.next != &live_ && mode_ == Mode::match) replay();
  } catch (const std::exception&) {
    // An op between failed, for which the call throws already: what could not be made stays without a value.
  }
  forget_all();
  settle_unfinished();
  function_.set_active(nullptr);
  post_.close();
  thread_state.own = nullptr;
  slots_.clear();
}

void Frame::finish() {
  const OwnerLock::Inside inside(post_.lock());
  end_segment();
  if (mode_ == Mode::match) tree_[root_].is_complete = true;
  thread_state.observer = outer_;
  forget_all();
  settle();
}

void Frame::settle() {
  if (mode_ != Mode::record || fork_ == kNoTrace) return;
  mode_ = Mode::eager;
  const ClosedWay way = make_loops();
  tree_[root_].is_complete |= way.is_whole;
  notes_.end = way.first == kNoTrace ? way.end : merge_way(tree_, way.first, way.end);
  tree_.shrink();
}

/// So much was recorded that segments which come again are looked for already. The next call, which matches them, records what
/// follows; without any, all of it in several calls.
void Frame::settle_part() {
  const bool was_complete = tree_[root_].is_complete;
  settle();
  tree_[root_].is_complete = was_complete;
  cursor_ = segment_begin_ = root_;
}

ClosedWay Frame::make_loops() {
  const CutWay cut = cut_way(tree_, fork_);
  if (!cut.is_cut) return close_loops(tree_, fork_, roll_way(tree_, fork_));
  note(kStepsDiffer);
  notes_.has_new_order = cut.is_new;
  if (cut.is_new) {
    tree_[root_].is_complete = false;
    for (const std::shared_ptr<Segment>& segment : cut.removed) segment->add_to(function_.stats());
    if (function_.pure()) function_.pure()->forget_all();
  }
  return {kNoTrace, root_, cut.is_whole};
}

void Frame::settle_unfinished() noexcept {
  if (mode_ != Mode::record || fork_ == kNoTrace) return;
  try {
    stop_counting();
    make_loops();
  } catch (const std::exception&) {  // memory is short
    tree_.drop_way(fork_);
  }
}

// --- the list of live values

void Frame::unlink(TensorImpl& impl) {
  impl.previous->next = impl.next;
  impl.next->previous = impl.previous;
  impl.previous = impl.next = nullptr;
  // What this thread did to the value happens before another thread, which sees that it is free, destroys it.
  impl.observer.store(nullptr, std::memory_order_release);
}

void Frame::forget_all() noexcept {
  if (live_.next == &live_) return;
  TensorImpl* left = nullptr;  // by other threads: a list through `next`
  {
    const std::lock_guard lock(foreign_release_mutex());
    while (live_.next != &live_) {
      TensorImpl& impl = *live_.next;
      const bool is_left = impl.left_behind;
      unlink(impl);  // one that is held elsewhere may be gone from here on
      if (is_left) impl.next = std::exchange(left, &impl);
    }
  }
  while (left) detail::release(std::exchange(left, left->next));
}

bool Frame::released(TensorImpl& impl) noexcept {
  const OwnerLock::Inside inside(post_.lock());
  unlink(impl);
  if (!memory::detail::kReuses || !impl.is_untouched()) return false;
  impl.next = std::exchange(function_.scratch().spare, &impl);
  return true;
}

std::span<TensorImpl* const> Frame::live_values() const {
  std::vector<TensorImpl*>& values = function_.scratch().live;
  values.clear();
  // The latest come last; those of earlier segments may be many.
  for (TensorImpl* impl = live_.previous; impl != &live_ && impl->value_id >= first_value_; impl = impl->previous)
    values.push_back(impl);
  std::reverse(values.begin(), values.end());
  return values;
}

// --- recording

/// What was deferred did not lead to a known way: run it, and go on eagerly, adding a branch.
void Frame::start_recording(const OpCall* asked) {
  replay();
  mode_ = Mode::eager;  // unless the way may be recorded
  if (tree_.branches() >= function_.options().most_branches) {
    function_.note_bound_reached();
  } else if (!tree_[root_].is_complete ||
             function_.allows_recompilation([&] { return describe_new_way(tree_, cursor_, asked); })) {
    mode_ = Mode::record;
    sample_ = tree_.take_sample();
    ++function_.stats().recorded_calls;
    return;
  }
  note(kTooManyWays);
}

TraceId Frame::add_node(TraceNode node) {
  node.generation = tree_.generation();
  node.sample = sample_;
  const TraceId id = tree_.add(cursor_, std::move(node));
  if (fork_ == kNoTrace) fork_ = id;
  return id;
}

void Frame::record(TraceNode node) {
  if (long_loop_.is_counting()) {
    if (long_loop_.count(tree_, node)) return;
    stop_counting();
  }
  cursor_ = add_node(std::move(node));
  // What is compiled before the function returns needs all nodes.
  if (!function_.options().compile_at_once) long_loop_.note_recorded(tree_, fork_);
}

void Frame::stop_counting() {
  if (!long_loop_.is_counting()) return;
  for (TraceNode& node : long_loop_.stop(tree_)) cursor_ = add_node(std::move(node));
}

TraceOperand Frame::record_operand(TensorImpl& tensor, TraceNode& node) {
  if (in_segment(tensor)) return {tensor.value_id - first_value_, false};
  for (size_t i = 0; i < slots_.size(); ++i)
    if (slots_[i].impl() == &tensor) return {static_cast<uint32_t>(i), true};
  refresh_history(tensor);
  node.new_slots.push_back({tensor.dtype, tensor.requires_grad, !tensor.producer, is_own(tensor), tensor.shape, tensor.strides});
  bind(tensor);
  return {static_cast<uint32_t>(slots_.size() - 1), true};
}

void Frame::bind(TensorImpl& tensor) {
  tensor.storage->note_reader(post_.id());
  slots_.push_back(Tensor::share(&tensor));
}

/// Whether the op is a `full` that differs from a recorded sibling in nothing but its value, or did so before.
bool Frame::is_number_that_changed(const OpCall& call) const {
  if (call.op != Op::full) return false;
  if (tree_.is_varying_number(call.location)) return true;
  for (TraceId id = tree_[cursor_].first_child; id != kNoTrace; id = tree_[id].next_sibling)
    if (tree_[id].kind == TraceNode::Kind::op && differs_in_value_only(tree_[id], call)) return true;
  return false;
}

/// Whether the op is one that steps of a loop over segments ask for with another index each time.
bool Frame::stands_apart(const OpCall& call) const {
  return tree_.is_apart_behind(segment_begin_, call.op, call.location) &&
         std::ranges::none_of(call.inputs, [&](const TensorImpl* input) { return in_segment(*input); });
}

void Frame::after(const OpCall& call, std::span<Tensor> results) {
  const OwnerLock::Inside inside(post_.lock());
  if (mode_ != Mode::record) return;
  TraceNode node;
  node.kind = is_number_that_changed(call) ? TraceNode::Kind::number : TraceNode::Kind::op;
  node.op = call.op;
  node.is_checked = reads_row_numbers(call.op);
  node.grad_enabled = thread_state.grad_enabled;
  node.attributes = call.attributes;
  node.location = call.location;
  node.first_value = next_value_ - first_value_;
  node.first_slot = static_cast<uint32_t>(slots_.size());
  if (node.kind == TraceNode::Kind::number) {
    tree_.note_varying_number(call.location);  // where this line is met again, no call has to show it once more
    note_number(call, results[0]);
    return record(std::move(node));
  }
  const bool is_apart = stands_apart(call);
  if (is_apart) node.kind = TraceNode::Kind::apart;
  else
    for (TensorImpl* input : call.inputs) node.inputs.push_back(record_operand(*input, node));
  for (const Tensor& result : results) {
    TensorImpl& impl = *result.impl();
    node.results.push_back({impl.dtype, impl.requires_grad, impl.shape, impl.strides});
    if (is_apart) record_operand(impl, node);
    else link(impl, next_value_++);
  }
  record(std::move(node));
}

// --- segments

TraceId Frame::find_end() {
  if (mode_ == Mode::match) note_trips();
  return tree_.end_after(cursor_);
}

void Frame::begin_segment(TraceId after) {
  cursor_ = segment_begin_ = after;
  first_value_ = next_value_;
  slots_.clear();
  position_.begin_segment(first_value_);
}

void Frame::end_segment(const char* reason) {
  if (cursor_ == segment_begin_ || mode_ == Mode::eager) return;
  stop_counting();
  TraceId end = find_end();
  if (end == kNoTrace) {
    if (mode_ == Mode::match) start_recording(nullptr);
    if (mode_ == Mode::eager) return;
    TraceNode node;
    node.kind = TraceNode::Kind::end;
    node.segment_begin = segment_begin_;
    node.reason = reason;
    node.segment = std::make_shared<Segment>();
    end = add_node(std::move(node));
    if (function_.options().compile_at_once) function_.compile_segment(end, live_values(), first_value_);
  } else if (mode_ == Mode::match) {
    run_end(end);
  }
  notes_.end = end;
  begin_segment(end);
  if (mode_ == Mode::record && tree_.size() - fork_ > kMostNodesOfIteration) settle_part();
}

/// A complete match: the plan makes what is held. A failure to compile, or to run before anything was
/// written, is no failure of the call.
void Frame::run_end(TraceId end) {
  const std::span<TensorImpl* const> live = live_values();
  if (live.empty()) return replay_for_errors();
  if (!function_.ready(end, live, first_value_)) return replay();
  if (settings().verify) verify_against_replay(end);
  try {
    const ObserverPause pause;
    return tree_[end].segment->run(slots_, live, first_value_, function_.stats());
  } catch (const InternalError&) {
    throw;
  } catch (const std::exception&) {
    // An op of it fails for its values, or memory is short: op by op, what comes before the failure is made.
  }
  replay();
}

void Frame::effect(const char* what) {
  const OwnerLock::Inside inside(post_.lock());
  note(what);
}

/// Only leaves lead into the segment; or one tensor with a history, which nothing is asked of since no other input is from outside.
/// What is differentiated by is one input of the graph, so two slots must not be one tensor here.
bool Frame::sees_history(std::span<const Tensor> outputs, std::span<const Tensor> inputs) {
  const OwnerLock::Inside inside(post_.lock());
  if (mode_ == Mode::eager) return false;
  std::set<const TensorImpl*> from_outside;
  for (const Tensor& input : inputs)
    if (!in_segment(*input.impl())) from_outside.insert(input.impl());
  const auto begins_here = [&](const Tensor& tensor) {
    TensorImpl& impl = *tensor.impl();
    if (in_segment(impl)) return true;
    if (impl.is_pending()) return false;  // of another frame
    refresh_history(impl);
    if (impl.requires_grad && impl.storage->changes_unseen()) return false;  // ops take copies of it
    return !impl.producer || (from_outside.size() == 1 && from_outside.contains(&impl));
  };
  const auto is_bound_twice = [&](const TensorImpl* by) { return std::ranges::count(slots_, by, &Tensor::impl) > 1; };
  return std::ranges::all_of(slots_, begins_here) && std::ranges::all_of(outputs, begins_here) &&
         std::ranges::all_of(inputs, begins_here) && std::ranges::none_of(from_outside, is_bound_twice);
}

void Frame::copied(const TensorImpl& original, const Tensor& copy) {
  if (function_.pure()) notes_.copies.push_back({&original, copy});
}

void Frame::drawn(int64_t count, const Tensor& state) {
  if (function_.pure()) notes_.draws.push_back({count, state});
}

void Frame::note(const char* what) {
  if (notes_.obstacle) return;
  notes_.obstacle = what;
  notes_.after = cursor_;
}

void Frame::border(const char* reason) {
  const OwnerLock::Inside inside(post_.lock());
  end_segment_for(reason);
}

void Frame::end_segment_for(const char* reason) {
  note(reason);
  if (cursor_ == segment_begin_) return;
  log(LogTopic::recompile, "{}: a segment ends: {}", function_.options().name, reason);
  end_segment(reason);
}

void Frame::needed(TensorImpl& impl) {
  const OwnerLock::Inside inside(post_.lock());
  if (in_segment(impl)) end_segment_for("a value was needed");
}

void Frame::needed_elsewhere(TensorImpl& impl) {
  if (in_segment(impl)) end_segment_for("a value was needed by another thread");
}

void Frame::written_elsewhere(const Storage& storage) {
  for (const Tensor& slot : slots_)
    if (slot.impl()->storage.get() == &storage)
      return end_segment_for("another thread writes to what is read");
}

/// Nobody holds anything that was asked for. What is left to do is to throw what eager execution would have
/// thrown for indices that were computed.
void Frame::replay_for_errors() {
  for (TraceId id : tree_.path(segment_begin_, cursor_))
    if (tree_[id].kind == TraceNode::Kind::op && reads_row_numbers(tree_[id].op) && !tree_[id].inputs[1].is_slot)
      return replay();
}

void Frame::replay() {
  if (cursor_ == segment_begin_) return;
  const ObserverPause pause;
  const StraightWay deferred = way();
  const std::vector<TraceId> path = deferred.path();
  std::vector<TensorImpl*> placeholders(next_value_ - first_value_);
  for (TensorImpl* impl : live_values())
    if (impl->is_pending()) placeholders[impl->value_id - first_value_] = impl;
  std::exception_ptr failure;
  try {
    // A placeholder takes the place of what was made, so that later views are views of what the user holds.
    replay_path(deferred.tree(), path, slots_, [&](std::span<Tensor> results, size_t first) {
      for (size_t i = 0; i < results.size(); ++i)
        if (TensorImpl* placeholder = placeholders[first + i]) {
          fill_placeholder(*placeholder, *results[i].impl());
          results[i] = Tensor::share(placeholder);
        }
    });
  } catch (...) {
    failure = std::current_exception();
  }
  function_.stats().replayed_ops += path.size();
  if (!failure) return;
  // Nothing is pending any more: the function may catch this and go on.
  mode_ = Mode::eager;
  begin_segment(cursor_);
  std::rethrow_exception(failure);
}

void Frame::verify_against_replay(TraceId end) {
  const ObserverPause pause;
  std::vector<Tensor> expected;
  const StraightWay matched = way();
  replay_path(matched.tree(), matched.path(), slots_, [&](std::span<Tensor> results, size_t) {
    expected.insert(expected.end(), results.begin(), results.end());
  });
  tree_[end].segment->expect(expected);
}

}  // namespace calque
