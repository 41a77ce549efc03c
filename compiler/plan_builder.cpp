// From a lowered graph to steps over buffers.
#include "compiler/plan_builder.h"

#include <algorithm>
#include <bit>

#include "compiler/epilogue.h"
#include "ir/op/error.h"
#include "runtime/kernels/gemm.h"
#include "runtime/views.h"

namespace calque {

namespace {

/// Of an output's buffer, one part in so many may be of no use.
constexpr size_t kSpared = 8;

bool is_dense(const Place& place) {
  return kernels::is_contiguous({nullptr, place.type.dtype, place.type.shape, place.strides});
}

size_t dense_bytes(const Type& type) { return type.shape.element_count() * size_of(type.dtype); }

/// Whether the leading axes step evenly and the last one is dense: what a kernel of domain rows or columns can walk.
bool walks_as_rows(const Place& place) {
  const Shape& shape = place.type.shape;
  const int rank = shape.rank();
  if (rank == 0 || shape.element_count() <= 1) return true;
  if (shape.back() != 1 && place.strides[rank - 1] != 1) return false;
  int inner = -1;  // innermost leading axis of more than one row
  for (int axis = rank - 2; axis >= 0; --axis) {
    if (shape[axis] == 1) continue;
    if (inner >= 0 && place.strides[axis] != place.strides[inner] * shape[inner]) return false;
    inner = axis;
  }
  return true;
}

}  // namespace

std::vector<Place> PlanStep::reads() const {
  std::vector<Place> places = inputs;
  for (const std::vector<PlanStep>* steps : {&products, &pieces, &body})
    for (const PlanStep& step : *steps) {
      const std::vector<Place> inner = step.reads();
      places.insert(places.end(), inner.begin(), inner.end());
    }
  return places;
}

bool PlanStep::depends_on(const PlanStep& other) const {
  const auto meet = [](const std::vector<Place>& a, const std::vector<Place>& b) {
    return std::ranges::any_of(
        a, [&](const Place& x) { return std::ranges::any_of(b, [&](const Place& y) { return x.buffer == y.buffer; }); });
  };
  return meet(writes(), other.writes()) || meet(writes(), other.reads()) || meet(reads(), other.writes());
}

std::vector<Place> PlanStep::writes() const {
  std::vector<Place> places = results;
  if (kind == Kind::stack) places.push_back(packing);
  for (const std::vector<PlanStep>* steps : {&products, &pieces, &body})
    for (const PlanStep& step : *steps) {
      const std::vector<Place> inner = step.writes();
      places.insert(places.end(), inner.begin(), inner.end());
    }
  return places;
}

PlanBuilder::PlanBuilder(Plan& plan, std::span<const InputLayout> layouts)
    : plan_(plan), graph_(&plan.graph_), places_(graph_->value_count()), steps_(&plan.steps_) {
  for (size_t i = 0; i < graph_->inputs().size(); ++i) {
    const Type& type = graph_->type(graph_->inputs()[i]);
    plan_.buffers_.push_back({PlanBuffer::Kind::input, static_cast<int>(i), 0, 0, 0, 0});
    const Place place{static_cast<int>(i), type, layouts[i].strides, 0};
    plan_.inputs_.push_back(place);
    places_[graph_->inputs()[i]] = place;
  }
}

void PlanBuilder::build(const std::vector<bool>& fresh, const std::vector<int>& same_as) {
  for (const Node& node : graph_->nodes()) add_node(node);
  place_outputs(fresh, same_as);
  choose_packing(plan_.steps_, false);
  cut_products_into_pieces();
  stack_products(plan_.steps_);
  set_loops_beside();
  // Members that wait for long fall asleep, and are slow to wake.
  plan_.is_worth_a_team_ = Plan::shares_every_loop || work_.shared > std::max(kWorthATeam, work_.alone + work_.undecided);
  if (work_.undecided > 0 && work_.shared + work_.undecided > std::max(kWorthATeam, work_.alone))
    plan_.trial_ = std::make_unique<TeamTrial>();
  std::vector<bool> seen(plan_.buffers_.size(), false);
  note_lifetimes(plan_.steps_, 0, seen);
  lengthen_lifetimes_beside();
  lay_out_arena();
  Touched touched;
  place_barriers(plan_.steps_, touched);
  bind_loops(plan_.steps_);
  if (next_kernel_ != plan_.kernel_count()) throw InternalError("plan: there is another number of kernels than fusions");
  for (PlanStep& step : plan_.steps_) step.prepare(plan_.kernels_);
}

void PlanBuilder::add_node(const Node& node) {
  switch (row(node.op).kind) {
    case OpKind::view: return add_view(node);
    case OpKind::fusion: return add_fusion(node);
    case OpKind::loop: return add_loop(node);
    case OpKind::matmul: return graph_->type(node.result()).shape.rank() == 2 ? add_product(node) : add_native(node);
    case OpKind::composite: throw InternalError("plan: a composite was not expanded");
    default: return add_native(node);
  }
}

Place PlanBuilder::new_place(const Type& type) {
  plan_.buffers_.push_back({PlanBuffer::Kind::arena, 0, dense_bytes(type), 0, 0, 0});
  return {static_cast<int>(plan_.buffers_.size()) - 1, type, row_major_strides(type.shape), 0};
}

std::vector<Place> PlanBuilder::result_places(const Node& node) {
  std::vector<Place> results;
  for (uint32_t i = 0; i < node.result_count; ++i) {
    const auto reserved = reserved_.find(node.result(i));
    results.push_back(reserved != reserved_.end() ? reserved->second : new_place(graph_->type(node.result(i))));
    places_[node.result(i)] = results.back();
  }
  return results;
}

void PlanBuilder::add_view(const Node& node) {
  Place base = places_[node.inputs[0]];
  for (uint32_t i = 0; i < node.result_count; ++i) {
    Place view{base.buffer, graph_->type(node.result(i)), {}, 0, base.walk};
    ViewMap map;
    if (!map_view(node.op, node.attributes, base.type.shape, base.strides, static_cast<int>(i), view.type.shape, map)) {
      base = dense_copy(base);  // a reshape of elements that do not lie in order
      map = {};
      view.buffer = base.buffer;
      view.walk = base.walk;
      map_view(node.op, node.attributes, base.type.shape, base.strides, static_cast<int>(i), view.type.shape, map);
    }
    view.strides = map.strides;
    view.offset = base.offset + map.offset;
    places_[node.result(i)] = view;
  }
}

Place PlanBuilder::dense_copy(const Place& place) {
  const Place copy = new_place(place.type);
  add_copy(place, copy);
  return copy;
}

void PlanBuilder::add_copy(const Place& from, const Place& to) {
  PlanStep step;
  step.kind = PlanStep::Kind::copy;
  step.inputs = {from};
  step.results = {to};
  steps_->push_back(std::move(step));
  estimate(0.1 * static_cast<double>(dense_bytes(from.type)));
}

Place PlanBuilder::as_rows(const Place& place, Domain domain) {
  const bool fits = domain == Domain::flat ? place.type.shape.element_count() <= 1 || is_dense(place)
                                           : walks_as_rows(place);
  return fits ? place : dense_copy(place);
}

/// Of a kernel that computes so many columns.
static int64_t part_columns(const ExecutableImage& image, int64_t columns) {
  const int64_t part = image.part_columns(0);
  if (!image.takes_any_columns(0)) return part;
  if (columns > CALQUE_MOST_ANY_COLUMNS) throw InternalError("plan: a fusion has more columns than its kernel takes");
  return part == 0 ? 0 : columns;
}

void PlanBuilder::add_fusion(const Node& node) {
  PlanStep step;
  step.kind = PlanStep::Kind::kernel;
  step.node = &node;
  step.kernel = next_kernel_++;
  if (step.kernel >= plan_.kernel_count()) throw InternalError("plan: there are fewer kernels than fusions");
  step.first_constant = plan_.constants_.size();
  for (const KernelConstant& constant : plan_.kernels_[step.kernel].constants) plan_.constants_.push_back(constant.bits());
  step.constants = plan_.constants_.size() - step.first_constant;
  step.domain = static_cast<Domain>(node.attributes[0]);
  step.rows = node.attributes[1];
  step.columns = node.attributes[2];
  step.part_columns = part_columns(*plan_.kernels_[step.kernel].image, step.columns);
  for (ValueId input : node.inputs) step.inputs.push_back(as_rows(places_[input], step.domain));
  step.results = result_places(node);
  if (step.inputs.size() + step.constants + step.results.size() > Plan::kMostOperands)
    throw InternalError("plan: a fusion has more operands than a kernel takes");
  int64_t widest = step.rows * step.columns;
  for (const Place& place : step.inputs) widest = std::max(widest, place.type.shape.element_count());
  step.nanoseconds = 0.1 * static_cast<double>(widest * node.body->nodes().size());
  estimate(step.nanoseconds);
  attach_products(step, *node.body);
  steps_->push_back(std::move(step));
}

void PlanBuilder::attach_products(PlanStep& kernel, const Graph& body) {
  if (kernel.part_columns > kernel.columns) throw InternalError("plan: a kernel has more columns than its fusion");
  if (kernel.part_columns % kernels::kColumnUnit != 0) return;
  const auto reads = [](const PlanStep& step, const Place& product) {
    return std::any_of(step.inputs.begin(), step.inputs.end(),
                       [&](const Place& input) { return input.buffer == product.buffer; });
  };
  while (!steps_->empty() && steps_->back().kind == PlanStep::Kind::product) {
    const Place& product = steps_->back().results[0];
    if (!reads(kernel, product) || !reads_by_parts(kernel, body, product, kernel.part_columns)) return;
    // A product of this product needs all of its columns.
    for (const PlanStep& later : kernel.products)
      if (reads(later, product)) return;
    kernel.nanoseconds += steps_->back().nanoseconds;
    kernel.products.insert(kernel.products.begin(), std::move(steps_->back()));
    steps_->pop_back();
  }
}

void PlanBuilder::add_product(const Node& node) {
  PlanStep step;
  step.kind = PlanStep::Kind::product;
  step.node = &node;
  if (node.inputs.size() > 2 * Plan::kMostTerms) throw InternalError("plan: a sum of products has too many terms");
  for (size_t i = 0; i < node.inputs.size(); i += 2) {
    const Place &left = places_[node.inputs[i]], &right = places_[node.inputs[i + 1]];
    step.inputs.push_back(left);
    step.inputs.push_back(right);
    step.nanoseconds += 0.02 * static_cast<double>(left.type.shape.element_count()) * static_cast<double>(right.type.shape[1]);
  }
  estimate(step.nanoseconds);
  step.results = result_places(node);
  steps_->push_back(std::move(step));
}

/// One row by the columns of a short kernel is shared by its columns: those of a member lie together, as far as can be said before
/// it is known how many threads will run.
int64_t PlanBuilder::panel_columns(const PlanStep& kernel, const PlanStep& product) {
  if (product.results[0].type.shape[0] != 1) return kernels::kWholePanels;
  const int64_t share = std::max(kernel.part_columns / ThreadPool::instance().num_threads(), kernels::kColumnUnit);
  return static_cast<int64_t>(std::bit_floor(static_cast<uint64_t>(share)));
}

void PlanBuilder::choose_packing(std::span<PlanStep> steps, bool is_read_often) {
  const auto choose = [&](PlanStep& product, int64_t panel_columns) {
    product.panel_columns = panel_columns;
    for (size_t i = 1; i < product.inputs.size(); i += 2)
      product.packed.push_back(packed_operand(product.inputs[i], panel_columns, is_read_often));
  };
  for (PlanStep& step : steps) {
    if (step.kind == PlanStep::Kind::product) choose(step, kernels::kWholePanels);
    for (PlanStep& product : step.products) choose(product, panel_columns(step, product));
    choose_packing(step.body, true);
  }
}

int PlanBuilder::packed_operand(const Place& right, int64_t panel_columns, bool is_read_often) {
  const bool is_input = plan_.buffers_[right.buffer].kind == PlanBuffer::Kind::input && right.walk == Walk{};
  if (!is_input || right.type.shape[1] < 16) return -1;
  for (size_t i = 0; i < plan_.packed_.size(); ++i) {
    if (plan_.packed_[i].place == right && plan_.packed_[i].panel_columns == panel_columns) {
      plan_.packed_[i].is_read_often |= is_read_often;
      return static_cast<int>(i);
    }
  }
  plan_.packed_.push_back({right, panel_columns, is_read_often});
  return static_cast<int>(plan_.packed_.size()) - 1;
}

void PlanBuilder::add_native(const Node& node) {
  PlanStep step;
  step.kind = PlanStep::Kind::native;
  step.node = &node;
  for (ValueId input : node.inputs) step.inputs.push_back(places_[input]);
  step.results = result_places(node);
  for (const Place& place : step.results)
    estimate(0.5 * static_cast<double>(place.type.shape.element_count()));
  steps_->push_back(std::move(step));
}

/// A fresh output gets a buffer that nobody else has, of which it is nearly all (a stack of states lies behind the initial one);
/// others keep their place, which must not be in the arena, nor, when they are to be apart, where an input or a fresh output
/// lies. (Fresh ones come first.) Where users have several of one value, each may be written to, and nobody can tell which of them
/// a view of one would be: it is apart as well.
void PlanBuilder::place_outputs(const std::vector<bool>& fresh, const std::vector<int>& same_as) {
  std::vector<bool> given_away(plan_.buffers_.size() + graph_->outputs().size(), false);
  std::vector<int> owners(plan_.buffers_.size(), 0);  // inputs and fresh outputs of one memory, before any is copied
  for (size_t buffer = 0; buffer < owners.size(); ++buffer) owners[buffer] = plan_.buffers_[buffer].kind == PlanBuffer::Kind::input;
  for (size_t i = 0; i < graph_->outputs().size(); ++i) owners[places_[graph_->outputs()[i]].buffer] += fresh[i];
  for (size_t i = 0; i < graph_->outputs().size(); ++i) {
    Place place = places_[graph_->outputs()[i]];
    const bool is_taken = plan_.buffers_[place.buffer].kind == PlanBuffer::Kind::input || given_away[place.buffer];
    const int other = fresh[i] || same_as.empty() ? Plan::kAnywhere : same_as[i];
    const bool is_apart = !same_as.empty() && (other == Plan::kApart || owners[place.buffer] > 1);
    if (other >= 0) place = plan_.outputs_[static_cast<size_t>(other)];
    else if (!fresh[i] && is_taken && is_apart) place = dense_copy(place);
    if (fresh[i]) {
      const size_t bytes = dense_bytes(place.type), of_buffer = plan_.buffers_[place.buffer].bytes;
      const bool is_part = bytes < of_buffer - of_buffer / kSpared || !is_dense(place);
      if (is_taken || is_part) place = dense_copy(place);
      given_away.resize(std::max(given_away.size(), plan_.buffers_.size()), false);
      given_away[place.buffer] = true;
    }
    PlanBuffer& buffer = plan_.buffers_[place.buffer];
    if (buffer.kind == PlanBuffer::Kind::arena) {
      buffer.kind = PlanBuffer::Kind::owned;
      buffer.index = plan_.owned_count_++;
    }
    plan_.outputs_.push_back(place);
  }
}

/// Numbers steps from `first` on, those of a loop one by one; gives the next number. What lives longer than an iteration is
/// alive from a loop's first step to its last.
int PlanBuilder::note_lifetimes(std::span<const PlanStep> steps, int first, std::vector<bool>& seen) {
  const auto touch = [&](int buffer, int begin, int end) {
    PlanBuffer& noted = plan_.buffers_[buffer];
    if (!seen[buffer]) noted.first_step = begin;
    seen[buffer] = true;
    noted.last_step = std::max(noted.last_step, end);
  };
  for (const PlanStep& step : steps) {
    const int begin = first;
    first = step.kind == PlanStep::Kind::loop ? note_lifetimes(step.body, first, seen) : first + 1;
    const int last = std::max(begin, first - 1);
    for (const std::vector<Place>& places : {step.reads(), step.writes()})
      for (const Place& place : places) {
        const bool inner = step.kind == PlanStep::Kind::loop && place.buffer >= step.first_inner_buffer;
        if (inner) continue;
        touch(place.buffer, begin, last);
        plan_.buffers_[place.buffer].first_step = std::min(plan_.buffers_[place.buffer].first_step, begin);
      }
  }
  return first;
}

/// First fit: each buffer at the lowest offset where it meets no buffer that is alive at the same time.
void PlanBuilder::lay_out_arena() {
  std::vector<const PlanBuffer*> placed;
  for (PlanBuffer& buffer : plan_.buffers_) {
    if (buffer.kind != PlanBuffer::Kind::arena) continue;
    const size_t size = (buffer.bytes + 63) / 64 * 64;
    std::vector<const PlanBuffer*> rivals;
    for (const PlanBuffer* other : placed)
      if (other->first_step <= buffer.last_step && buffer.first_step <= other->last_step) rivals.push_back(other);
    std::sort(rivals.begin(), rivals.end(),
              [](const PlanBuffer* a, const PlanBuffer* b) { return a->arena_offset < b->arena_offset; });
    size_t offset = 0;
    for (const PlanBuffer* rival : rivals) {
      if (offset + size <= rival->arena_offset) break;
      offset = std::max(offset, (rival->arena_offset + rival->bytes + 63) / 64 * 64);
    }
    buffer.arena_offset = offset;
    placed.push_back(&buffer);
    plan_.arena_bytes_ = std::max(plan_.arena_bytes_, offset + size);
  }
  for (int i = 0; i < plan_.kernel_count(); ++i)
    plan_.scratch_bytes_ = std::max(plan_.scratch_bytes_, (size_t{plan_.kernels_[i].image->scratch_bytes(0)} + 63) / 64 * 64);
}

bool PlanBuilder::overlap(int a, int b) const {
  const PlanBuffer &x = plan_.buffers_[a], &y = plan_.buffers_[b];
  if (a == b) return true;
  if (x.kind != PlanBuffer::Kind::arena || y.kind != PlanBuffer::Kind::arena) return false;
  return x.arena_offset < y.arena_offset + y.bytes && y.arena_offset < x.arena_offset + x.bytes;
}

void Touched::add(const Touched& more) {
  reads.insert(reads.end(), more.reads.begin(), more.reads.end());
  writes.insert(writes.end(), more.writes.begin(), more.writes.end());
}

bool PlanBuilder::has_to_wait(const Touched& step, const Touched& before) const {
  const auto meet = [&](const Access& a, const Access& b) {
    const bool is_same_members = a == b ? a.period != Access::kAnyones
                                        : a.period == Access::kOfFirstMember && b.period == Access::kOfFirstMember;
    return !is_same_members && overlap(a.buffer, b.buffer);
  };
  const auto any_meet = [&](const std::vector<Access>& some, const std::vector<Access>& others) {
    return std::ranges::any_of(
        some, [&](const Access& a) { return std::ranges::any_of(others, [&](const Access& b) { return meet(a, b); }); });
  };
  return any_meet(step.reads, before.writes) || any_meet(step.writes, before.writes) || any_meet(step.writes, before.reads);
}

/// A barrier stands before a step that touches what a step since the last barrier wrote, or writes what one touched. The
/// body of a loop is walked twice: what its last step touches, its first one may meet.
void PlanBuilder::place_barriers(std::span<PlanStep> steps, Touched& touched) {
  for (PlanStep& step : steps) {
    Touched buffers;
    for (const Place& input : step.reads()) buffers.reads.push_back({input.buffer});
    for (const Place& result : step.writes()) buffers.writes.push_back({result.buffer});
    step.barrier_before |= has_to_wait(buffers, touched);
    if (step.barrier_before) touched = {};
    if (step.kind == PlanStep::Kind::loop && step.sharing != PlanStep::Sharing::never) {
      Touched in_body;
      place_barriers(step.body, in_body);
      place_barriers(step.body, in_body);
    }
    touched.add(buffers);
  }
}

}  // namespace calque
