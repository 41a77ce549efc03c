// One call of a compiled function: compares the ops that the function asks for with the recorded tree, defers
// them, and runs the plan of each segment when it ends.
#pragma once

#include <mutex>
#include <optional>
#include <span>
#include <vector>

#include "compiler/long_loop.h"
#include "compiler/segment_loops.h"
#include "compiler/way_position.h"
#include "runtime/observer.h"
#include "runtime/observer_post.h"

namespace calque {

class CompiledFunction;

/// A number that an op was given, and that is an input of the plan.
struct Number {
  double value;
  const void* location;
  Tensor tensor;
};

/// What an op took instead of a tensor to whose memory a writable pointer is about.
struct CopyMade {
  const TensorImpl* original;
  Tensor copy;
};

/// The state for random numbers that the call asked the process's generator for.
struct Draw {
  int64_t count;
  Tensor state;
};

/// What a call did beside its ops: whether a plan alone could do the same.
struct FrameNotes {
  const char* obstacle = nullptr;  // the first thing that no plan does
  TraceId after = 0;               // the op before it
  TraceId end = 0;                 // of the last one
  bool has_new_order = false;      // of the steps of a loop, for which older ways were removed
  // Of a pure function:
  std::vector<Number> numbers;
  std::vector<CopyMade> copies;
  std::vector<Draw> draws;  // in their order
};

// Obstacles that say nothing of other calls.
inline constexpr const char* kAnOpFails = "an op fails";
inline constexpr const char* kStepsDiffer = "steps that differ";
inline constexpr const char* kTooManyWays = "it goes more ways than are kept";

class Frame final : public Observer {
 public:
  /// Starts observing this thread. `function` is locked by the caller for as long as the frame lives.
  explicit Frame(CompiledFunction& function);
  ~Frame() override;

  // Frames come from the thread's free lists.
  static void* operator new(size_t bytes) { return memory::allocate(bytes); }
  static void operator delete(void* frame, size_t bytes) { memory::free(frame, bytes); }

  // What is known before finish() of the segment that is open then.
  const FrameNotes& notes() const { return notes_; }
  bool is_matching() const { return mode_ == Mode::match; }
  TraceId root() const { return root_; }
  /// The nodes up to here. They are no more than a part of the call where iterations were omitted.
  std::vector<PlacedNode> placed_nodes();
  bool has_omitted() const { return long_loop_.has_omitted(); }
  std::span<const Tensor> slots() const { return slots_; }
  /// Which value of the segment this is, counted from its first; nothing for other tensors.
  std::optional<uint32_t> value_of(const TensorImpl& impl) const {
    if (!in_segment(impl)) return std::nullopt;
    return impl.value_id - first_value_;
  }
  /// Values of the open segment that somebody holds. Valid until it is asked for again.
  std::span<TensorImpl* const> live_values() const;

  /// The function returned: everything that is still held gets its value.
  void finish();

  bool expected(const OpCall& call, std::span<Tensor> results) override;
  bool before(const OpCall& call, std::span<Tensor> results) override;
  void after(const OpCall& call, std::span<Tensor> results) override;
  bool released(TensorImpl& impl) noexcept override;
  void needed(TensorImpl& impl) override;
  void border(const char* reason) override;
  void effect(const char* what) override;
  bool sees_history(std::span<const Tensor> outputs, std::span<const Tensor> inputs) override;
  void copied(const TensorImpl& original, const Tensor& copy) override;
  void drawn(int64_t count, const Tensor& state) override;
  void needed_elsewhere(TensorImpl& impl) override;
  void written_elsewhere(const Storage& storage) override;
  void released_elsewhere(TensorImpl& impl) noexcept override { unlink(impl); }

 private:
  enum class Mode {
    match,   // ops are compared and deferred
    record,  // ops run eagerly and are added to the tree
    eager,   // past the bound of the tree, or over: nothing is compared or recorded
  };

  // Matching.
  /// Whether the call is this node's op, of which nothing is to be looked at but what all calls have: no where that is not sure.
  /// What the node binds is bound then.
  bool is_due(const TraceNode& node, const OpCall& call);
  /// Whether the op fills a tensor like the recorded one, with whatever value.
  static bool differs_in_value_only(const TraceNode& node, const OpCall& call);
  bool is_same_op(const TraceNode& node, const OpCall& call) const;
  bool match(const OpCall& call, std::span<Tensor> results);
  /// Among what follows the last node.
  bool match_here(const OpCall& call, std::span<Tensor> results);
  /// To where else what comes next may have been recorded: where steps differ, the segment may end here; at the beginning of one, it
  /// may be where the loop that it is in begins. False where there is none.
  bool go_on_elsewhere();
  bool cut_here();
  /// Whether the call is the next iteration of the loop whose last node was matched.
  bool match_next_iteration(const OpCall& call, std::span<Tensor> results);
  bool match_node(TraceId id, const OpCall& call, std::span<Tensor> results);
  void bind(TensorImpl& tensor);
  bool matches(const TraceNode& node, const OpCall& call);
  /// So many of the first slots have tensors that a new slot of the node must not have.
  size_t known_slots(const TraceNode& node) const;
  /// Whether one of the first `slots` slots is this tensor.
  bool is_bound(const TensorImpl& tensor, size_t slots) const;
  bool matches_attributes(const TraceNode& node, const Attributes& attributes) const;
  /// Of a node of a loop whose attributes grow from one iteration to the next.
  bool matches_stepped_attributes(const TraceNode& node, const Attributes& attributes) const;
  /// The same for a node whose records may be of other sizes; they are of the call's afterwards. `node` is that of `id`, or what
  /// it stands for.
  bool matches_resized(TraceId id, const TraceNode& node, const OpCall& call);
  /// Throws what the op would throw for its types, or for values that are known: the function may catch that
  /// and go on, and an op that fails is no op of the trace.
  static void check(const OpCall& call);
  void check_or_note(const OpCall& call);
  bool matches_operand(const TraceNode& node, size_t i, TensorImpl& tensor, uint32_t& next_new_slot);
  uint32_t first_slot(const TraceNode& node) const { return node.first_slot + position_.levels[node.level].slots; }
  bool take_number(const TraceNode& node, const OpCall& call, std::span<Tensor> results);
  /// An op on tensors from outside that does no work worth a plan, with whatever attributes.
  bool take_apart(TraceId id, const OpCall& call, std::span<Tensor> results);
  void note_number(const OpCall& call, const Tensor& result);
  void hand_out(TraceId id, std::span<Tensor> results);
  TraceId find_end();
  /// The loop that the last op was of is left here, if it is: from now on sizes may follow from how often it ran.
  void note_trips();
  StraightWay way();

  // Recording.
  /// `asked` is the op that is new; null when the function ended, or a segment had to, where it did not
  /// before.
  void start_recording(const OpCall* asked);
  TraceId add_node(TraceNode node);
  /// An op, which the next iteration of a long loop may ask for.
  void record(TraceNode node);
  void stop_counting();
  TraceOperand record_operand(TensorImpl& tensor, TraceNode& node);
  bool is_number_that_changed(const OpCall& call) const;
  bool stands_apart(const OpCall& call) const;

  // Segments.
  void end_segment(const char* reason = nullptr);
  void end_segment_for(const char* reason);
  void note(const char* what);
  void run_end(TraceId end);
  void begin_segment(TraceId after);
  /// Runs eagerly what was deferred since the segment began, and gives the placeholders that are held their
  /// values.
  void replay();
  void replay_for_errors();
  void verify_against_replay(TraceId end);
  /// What was recorded becomes a part of the tree: loops are found, and ways that differ in sizes only become one.
  void settle();
  void settle_part();
  void settle_unfinished() noexcept;
  ClosedWay make_loops();

  // The list of values of this call that are alive.
  void link(TensorImpl& impl, uint32_t value_id) {
    impl.observer.store(this, std::memory_order_relaxed);
    impl.value_id = value_id;
    impl.previous = live_.previous;
    impl.next = &live_;
    live_.previous->next = &impl;
    live_.previous = &impl;
  }
  void unlink(TensorImpl& impl);
  void forget_all() noexcept;
  TensorImpl* placeholder(const ResultRecord& record);
  bool is_own(const TensorImpl& impl) const { return impl.observer.load(std::memory_order_relaxed) == this; }
  bool in_segment(const TensorImpl& impl) const { return is_own(impl) && impl.value_id >= first_value_; }

  CompiledFunction& function_;
  TraceTree& tree_;
  ObserverPost& post_;  // its lock is held in all that this frame does
  Mode mode_ = Mode::match;
  TraceId root_;
  TraceId cursor_;            // last node matched or recorded
  TraceId segment_begin_;     // root or end node before the current segment
  WayPosition position_;      // of the cursor, while matching
  TraceId fork_ = kNoTrace;   // first node recorded
  uint32_t sample_ = 0;       // sizes when recording began
  LongLoop long_loop_;        // of what is being recorded
  uint32_t first_value_ = 0;  // of the current segment
  uint32_t next_value_ = 0;
  std::vector<Tensor>& slots_;  // kept by the function, for their room
  TensorImpl live_;             // head of the list
  FrameNotes notes_;
  Observer* outer_ = nullptr;
};

}  // namespace calque
