// Loops in plans: where carried values, sequences and stacked results lie from one iteration to the next.
#include "compiler/plan_builder.h"

#include <algorithm>

namespace calque {

namespace {

/// Nanoseconds of one iteration below which barriers cost more than a second thread saves, and beyond which they do not, on any
/// machine.
constexpr double kTooSmallToShare = 200, kWorthSharing = 6000;

/// Steps of one type, one behind the other.
Place place_of_steps(int buffer, const Type& element, int64_t first, int64_t length) {
  Type type = element;
  type.shape.insert(0, length);
  return {buffer, type, row_major_strides(type.shape), first * element.shape.element_count()};
}

/// Whether it is the same in every iteration, but no kernel can read it: one element for each row (the gradient of a sum, say).
bool repeats_elements(const Place& place) {
  const int rank = place.type.shape.rank();
  return place.walk == Walk{} && rank > 0 && place.type.shape.back() > 1 && place.strides[static_cast<size_t>(rank) - 1] == 0;
}

}  // namespace

/// Adds one loop to the plan. What a step writes lies at once where the next step, or whoever reads the result, looks for
/// it: a carried value that is stacked as well has a buffer of length + 1 elements, in which each step reads one and writes
/// its neighbour; others alternate between two.
class LoopPlanner {
 public:
  LoopPlanner(PlanBuilder& builder, const Node& node)
      : builder_(builder), node_(node), body_(*node.body), form_(LoopForm::of(node.attributes)) {}

  void run() {
    place_carried();
    place_stacked();
    step_.kind = PlanStep::Kind::loop;
    step_.node = &node_;
    step_.length = step_.piece_length = form_.length;
    std::vector<Place> inputs = bind_inputs();
    const PlanBuilder::Work work = plan_body(std::move(inputs));
    step_.sharing = Plan::shares_every_loop                                         ? PlanStep::Sharing::always
                    : work.total() < kTooSmallToShare || work.shared <= work.alone ? PlanStep::Sharing::never
                    : work.total() < kWorthSharing                                ? PlanStep::Sharing::if_quicker
                                                                                  : PlanStep::Sharing::always;
    step_.nanoseconds = work.total() * static_cast<double>(form_.length);
    add_work(work);
    builder_.steps_->push_back(std::move(step_));
    for (uint32_t i = 0; i < node_.result_count; ++i) builder_.places_[node_.result(i)] = results_[i];
  }

 private:
  void add_work(const PlanBuilder::Work& iteration) {
    const double length = static_cast<double>(form_.length);
    PlanBuilder::Work& work = builder_.work_;
    switch (step_.sharing) {
      case PlanStep::Sharing::never: work.alone += step_.nanoseconds; break;
      case PlanStep::Sharing::if_quicker: work.undecided += step_.nanoseconds; break;
      case PlanStep::Sharing::always:
        work.shared += iteration.shared * length;
        work.alone += iteration.alone * length;
        work.undecided += iteration.undecided * length;
    }
  }

  ValueId output(size_t i) const { return body_.outputs()[i]; }
  int64_t elements(const Type& type) const { return type.shape.element_count(); }

  int new_buffer(const Type& element, int64_t count) {
    Type type = element;
    type.shape = Shape{std::max<int64_t>(count * elements(element), 1)};
    return builder_.new_place(type).buffer;
  }

  bool is_stacked(ValueId value) const {
    return std::find(body_.outputs().begin() + static_cast<std::ptrdiff_t>(form_.carried), body_.outputs().end(), value) !=
           body_.outputs().end();
  }

  void place_carried() {
    for (size_t i = 0; i < form_.carried; ++i) {
      const Type type = body_.type(body_.inputs()[i]);
      const bool keeps_all = is_stacked(output(i)) || is_stacked(body_.inputs()[i]);
      const int64_t slots = keeps_all ? form_.length + 1 : 2;
      const Place whole{new_buffer(type, slots), type, row_major_strides(type.shape), 0};
      keeps_all_.push_back(keeps_all);
      enters_.push_back(keeps_all ? slot(whole, 0) : alternating(whole, false));
      leaves_.push_back(keeps_all ? slot(whole, 1) : alternating(whole, true));
      const int64_t last = keeps_all ? form_.length : form_.length & 1;
      Place first = whole, final = whole;
      first.offset = position(0, keeps_all) * elements(type);
      final.offset = position(last, keeps_all) * elements(type);
      results_.push_back(final);
      builder_.add_copy(builder_.places_[node_.inputs[i]], first);
    }
  }
  /// Where the value after `done` iterations lies: in the order of the sequences.
  int64_t position(int64_t done, bool keeps_all) const {
    return keeps_all && form_.reverse ? form_.length - done : done;
  }
  /// In iteration i, the value after i + `ahead` iterations.
  Place slot(Place place, int64_t ahead) const {
    place.offset = position(ahead, true) * elements(place.type);
    place.walk.step = (form_.reverse ? -1 : 1) * elements(place.type);
    return place;
  }
  Place alternating(Place place, bool starts_behind) const {
    place.walk = {elements(place.type), true, starts_behind};
    return place;
  }

  void place_stacked() {
    for (size_t i = form_.carried; i < body_.outputs().size(); ++i) {
      const Type type = body_.type(output(i));
      std::optional<Place> shared = stacked_with_carried(output(i), type);
      results_.push_back(shared ? *shared : place_of_steps(new_buffer(type, form_.length), type, 0, form_.length));
      own_stack_.push_back(!shared);
    }
  }
  /// The steps of a value that is carried from one to the next.
  std::optional<Place> stacked_with_carried(ValueId value, const Type& type) const {
    for (size_t i = 0; i < form_.carried; ++i) {
      const bool leaves = value == output(i), enters = value == body_.inputs()[i];
      if (!leaves && !enters) continue;
      const int64_t first = leaves != form_.reverse ? 1 : 0;
      return place_of_steps(results_[i].buffer, type, first, form_.length);
    }
    return std::nullopt;
  }
  /// The step of a sequence or stack that an iteration sees.
  Place step_of(const Place& sequence, const Type& type) const {
    Place place{sequence.buffer, type, {}, sequence.offset};
    std::copy(sequence.strides.begin() + 1, sequence.strides.end(), place.strides.begin());
    place.walk.step = sequence.strides[0];
    if (!form_.reverse) return place;
    place.offset += (form_.length - 1) * sequence.strides[0];
    place.walk.step = -sequence.strides[0];
    return place;
  }

  std::vector<Place> bind_inputs() {
    std::vector<Place> inputs(body_.value_count());
    for (size_t i = 0; i < node_.inputs.size(); ++i) {
      const ValueId input = body_.inputs()[i];
      if (i < form_.carried) {
        inputs[input] = enters_[i];
        continue;
      }
      Place place = builder_.places_[node_.inputs[i]];
      if (place.walk != Walk{}) place = builder_.dense_copy(place);  // it moves with the loop around this one
      if (i < form_.carried + form_.scanned) place = step_of(place, body_.type(input));
      if (repeats_elements(place)) place = builder_.dense_copy(place);  // once, before the loop
      inputs[input] = place;
    }
    step_.first_inner_buffer = builder_.buffer_count();
    return inputs;
  }

  /// Where the block has to leave output i.
  Place destination(size_t i) const {
    return i < form_.carried ? leaves_[i] : step_of(results_[i], body_.type(output(i)));
  }

  PlanBuilder::Work plan_body(std::vector<Place> inputs) {
    std::map<ValueId, Place> reserved;
    std::vector<size_t> copied;
    for (size_t i = 0; i < body_.outputs().size(); ++i) {
      if (i >= form_.carried && !own_stack_[i - form_.carried]) continue;
      if (!makes_memory(output(i)) || !reserved.try_emplace(output(i), destination(i)).second) copied.push_back(i);
    }
    std::swap(builder_.places_, inputs);
    std::swap(builder_.reserved_, reserved);
    const Graph* outer_graph = std::exchange(builder_.graph_, &body_);
    std::vector<PlanStep>* outer_steps = std::exchange(builder_.steps_, &step_.body);
    const PlanBuilder::Work outer_work = std::exchange(builder_.work_, {});
    for (const Node& node : body_.nodes()) builder_.add_node(node);
    for (size_t i : copied) builder_.add_copy(builder_.places_[output(i)], destination(i));
    std::swap(builder_.places_, inputs);
    std::swap(builder_.reserved_, reserved);
    builder_.graph_ = outer_graph;
    builder_.steps_ = outer_steps;
    return std::exchange(builder_.work_, outer_work);
  }
  /// Whether the value is the result of a step, which may be told where to write.
  bool makes_memory(ValueId value) const {
    if (body_.is_input(value)) return false;
    const OpKind kind = row(body_.node(body_.producer(value)).op).kind;
    return kind != OpKind::view && kind != OpKind::loop;
  }

  PlanBuilder& builder_;
  const Node& node_;
  const Graph& body_;
  const LoopForm form_;
  PlanStep step_;
  std::vector<bool> keeps_all_;           // by carried value: its buffer holds all of its steps
  std::vector<Place> enters_, leaves_;    // by carried value: what an iteration reads and writes
  std::vector<bool> own_stack_;           // by stacked result
  std::vector<Place> results_;
};

void PlanBuilder::add_loop(const Node& node) { LoopPlanner(*this, node).run(); }

}  // namespace calque
