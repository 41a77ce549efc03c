// Running a plan.
#include <x86intrin.h>

#include <algorithm>
#include <atomic>
#include <exception>

#include "compiler/announce.h"
#include "compiler/bound_step.h"
#include "compiler/plan.h"
#include "runtime/kernels/eager.h"
#include "runtime/kernels/gemm.h"
#include "runtime/kernels/product_stack.h"

namespace calque {

namespace {
constexpr int64_t kGranule = 64;  // elements: no two threads write one cache line
constexpr int64_t kPartsForEach = 8;  // parts of a product for each thread, at least, that a kernel goes on with one by one
constexpr int64_t kSmallGranule = kernels::kColumnUnit;  // of columns, where there is less than kGranule for each thread
static_assert(kGranule % kSmallGranule == 0 && kSmallGranule == CALQUE_PART_COLUMNS);
}  // namespace

/// One run: where each buffer is this time, and what each member of the team does.
class PlanRun {
 public:
  PlanRun(Plan& plan, std::span<const Tensor> inputs)
      : plan_(plan), inputs_(inputs.size()), owned_(plan.owned_count_), starts_(plan.buffers_.size()),
        packed_(plan.packed_.size()), packed_memory_(plan.packed_.size()) {
    for (size_t i = 0; i < inputs.size(); ++i) inputs_[i] = laid_out(inputs[i], plan.inputs_[i]);
    for (const PlanBuffer& buffer : plan.buffers_)
      if (buffer.kind == PlanBuffer::Kind::owned) owned_[buffer.index] = Ref<Storage>::adopt(Storage::create(buffer.bytes));
  }

  PlanOutputs run() {
    const int most = ThreadPool::instance().team_size();
    const bool is_tried = plan_.trial_ && most > 1;
    shares_small_loops_ = is_tried && plan_.trial_->with_team();
    const int threads = plan_.is_worth_a_team_ || shares_small_loops_ ? most : 1;
    const size_t bytes = plan_.arena_bytes_ + plan_.scratch_bytes_ * threads;
    arena_ = Ref<Storage>::adopt(Storage::create(bytes));
    for (size_t i = 0; i < starts_.size(); ++i) starts_[i] = start_of(plan_.buffers_[i]);
    find_packed();
    const uint64_t start = is_tried ? __rdtsc() : 0;
    ThreadPool::instance().run(threads, [this](Team& team) { work(team); });
    if (is_tried && team_size_ == threads) {
      const uint64_t now = __rdtsc();
      plan_.trial_->note(shares_small_loops_, now - start, now);
    }
    if (failure_) std::rethrow_exception(failure_);
    return outputs();
  }

 private:
  /// The tensor as the plan expects it to lie; a dense copy when it does not (and dense is then what is expected of copies).
  static Tensor laid_out(const Tensor& tensor, const Place& place) {
    const TensorImpl& impl = *tensor.impl();
    bool fits = true;
    for (int axis = 0; axis < impl.shape.rank(); ++axis)
      fits &= impl.shape[axis] == 1 || impl.strides[axis] == place.strides[axis];
    if (fits) return tensor;
    TensorImpl* copy = TensorImpl::create();
    copy->dtype = impl.dtype;
    copy->shape = impl.shape;
    copy->strides = place.strides;
    int64_t last = 0;
    for (int axis = 0; axis < impl.shape.rank(); ++axis) last += place.strides[axis] * std::max<int64_t>(impl.shape[axis] - 1, 0);
    copy->storage = Ref<Storage>::adopt(Storage::create((last + 1) * size_of(impl.dtype)));
    kernels::copy(impl.view(), copy->view());
    return Tensor::adopt(copy);
  }

  /// A member of the team that runs the plan, or a loop of it.
  struct Member {
    Team& team;
    Iteration iteration;  // of the loop that it is in
    int scratch = 0;        // whose memory between steps it uses: also in a loop that it runs alone, its own

    /// Each iteration begins with the weights that the one before used last.
    Order order() const { return iteration.number % 2 == 0 ? Order::ascending : Order::descending; }
  };

  std::byte* start_of(const PlanBuffer& buffer) const {
    switch (buffer.kind) {
      case PlanBuffer::Kind::input: return static_cast<std::byte*>(inputs_[buffer.index].impl()->view().data);
      case PlanBuffer::Kind::owned: return owned_[buffer.index]->data();
      case PlanBuffer::Kind::arena: return arena_->data() + buffer.arena_offset;
    }
    return nullptr;
  }
  std::byte* address(const Operand& operand, const Iteration& iteration) const {
    return starts_[operand.buffer] + operand.at(iteration);
  }
  std::byte* address(const Place& place, const Iteration& iteration) const {
    return address(Operand(place), iteration);
  }
  kernels::View view(const Place& place, const Iteration& iteration = {}) const {
    return {address(place, iteration), place.type.dtype, place.type.shape, place.strides};
  }

  /// A weight is packed when it is seen unchanged for the second time: one that changes on every call is read as it is, unless
  /// a loop reads it.
  void find_packed() {
    if (plan_.packed_.empty()) return;
    const std::unique_lock lock(plan_.packed_lock_, std::try_to_lock);
    if (!lock) return;
    for (size_t i = 0; i < plan_.packed_.size(); ++i) {
      PackedOperand& operand = plan_.packed_[i];
      const TensorImpl& input = *inputs_[plan_.buffers_[operand.place.buffer].index].impl();
      const uint32_t version = input.storage->version.load(std::memory_order_relaxed);
      const bool is_known = operand.storage.get() == input.storage.get() && operand.offset == input.offset;
      const bool is_unsure = input.storage->written_unseen.load(std::memory_order_relaxed);
      const bool is_unchanged = is_known && operand.version == version && !is_unsure;
      operand.storage = input.storage;
      operand.offset = input.offset;
      operand.version = version;
      if (!is_known) operand.weight = nullptr;
      if (!is_unchanged && !operand.is_read_often) continue;
      if (!is_unsure) {
        if (!operand.weight) operand.weight = PackedWeight::of(matrix_of(operand));
        packed_memory_[i] = operand.weight->find(version);
      }
      if (!packed_memory_[i]) {
        packed_memory_[i] = empty({operand.place.type.dtype, Shape{operand.elements()}});
        stale_.push_back({i, version, is_unsure ? nullptr : operand.weight});
      } else {
        packed_[i] = start_of(packed_memory_[i]);
      }
    }
  }

  static PackedWeight::Matrix matrix_of(const PackedOperand& operand) {
    const Place& place = operand.place;
    return {operand.storage.get(), operand.offset + place.offset, place.type.dtype, place.type.shape[0], place.type.shape[1],
            place.strides[0], place.strides[1], operand.panel_columns, kernels::isa_level()};
  }

  static const std::byte* start_of(const Tensor& packed) { return static_cast<const std::byte*>(packed.impl()->view().data); }

  template <class T>
  static kernels::MatrixView<T> matrix(const kernels::View& view) {
    return {view.as<const T>(), view.strides[0], view.strides[1]};
  }

  template <class T>
  kernels::MatrixView<T> matrix(const ProductForm::Factor& factor, const Iteration& iteration) const {
    return {reinterpret_cast<const T*>(address(factor.operand, iteration)), factor.row_stride, factor.col_stride};
  }
  template <class T>
  kernels::MatrixView<T> matrix(const Place& place, const Iteration& iteration) const {
    return matrix<T>(ProductForm::Factor(place), iteration);
  }

  void pack_stale(Team& team) {
    for (const StalePacking& stale : stale_) {
      const PackedOperand& operand = plan_.packed_[stale.operand];
      const kernels::View weight = view(operand.place), memory = packed_memory_[stale.operand].impl()->view();
      if (weight.dtype == DType::f32)
        kernels::pack(matrix<float>(weight), weight.shape[0], weight.shape[1], memory.as<float>(), team, operand.panel_columns);
      else
        kernels::pack(matrix<double>(weight), weight.shape[0], weight.shape[1], memory.as<double>(), team, operand.panel_columns);
    }
    if (stale_.empty()) return;
    team.barrier();
    if (team.rank == 0)
      for (const StalePacking& stale : stale_) {
        packed_[stale.operand] = start_of(packed_memory_[stale.operand]);
        if (stale.weight) stale.weight->keep(stale.version, packed_memory_[stale.operand]);
      }
    team.barrier();
  }

  void work(Team& team) {
    if (team.rank == 0) team_size_ = team.size;  // one, where another thread has the pool
    pack_stale(team);
    run_steps(plan_.steps_, {team, {}, team.rank});
  }

  void run_steps(std::span<const PlanStep> steps, const Member& member) {
    for (const PlanStep& step : steps) {
      if (step.barrier_before) member.team.barrier();
      switch (step.kind) {
        case PlanStep::Kind::kernel:
          if (!step.products.empty()) run_with_products(step, member);
          else run_kernel(step, member);
          break;
        case PlanStep::Kind::product: run_product(step, member); break;
        case PlanStep::Kind::stack: run_stack(step, member); break;
        case PlanStep::Kind::loop: run_loop(step, member); break;
        default: run_native(step, member);
      }
    }
  }

  void run_loop(const PlanStep& loop, const Member& member) {
    const bool is_shared = loop.sharing == PlanStep::Sharing::always ||
                           (loop.sharing == PlanStep::Sharing::if_quicker && shares_small_loops_);
    if (!is_shared && member.team.rank != loop.owner % member.team.size) return;
    Team alone;
    Team& team = is_shared ? member.team : alone;
    for (int64_t first = 0; first < loop.length; first += loop.piece_length) {
      const int64_t end = std::min(first + loop.piece_length, loop.length);
      make_pieces(loop, {team, {first / loop.piece_length, 0}, member.scratch}, first, end);
      if (!run_bound(loop, {team, {first, 0}, member.scratch}, end))
        for (int64_t i = first; i < end; ++i) run_steps(loop.body, {team, {i, i - first}, member.scratch});
    }
  }

  /// Iterations up to `end`, each a few short steps by columns. False, for all members alike, where that cannot be.
  bool run_bound(const PlanStep& loop, Member member, int64_t end) const {
    if (!loop.may_be_bound) return false;
    std::array<BoundStep, BoundStep::kMostOfLoop> memory;
    const std::span steps = std::span(memory).first(loop.body.size());
    for (size_t i = 0; i < steps.size(); ++i)
      if (!bind(loop.body[i], member, steps[i])) return false;
    for (; member.iteration.number < end; ++member.iteration.number)
      for (size_t i = 0; i < steps.size(); ++i) {
        steps[i].run(member.team, member.order());
        steps[i].advance();
        if (kAnnouncesAccess) announce_bound(loop.body[i], steps[i].columns(), member);
      }
    return true;
  }
  void announce_bound(const PlanStep& step, const ColumnRange& columns, const Member& member) const {
    if (step.kind != PlanStep::Kind::kernel || columns.begin == columns.end) return;
    if (step.domain != Domain::rows) announce(step, member, columns.begin, columns.end, step.part_columns);
    else announce(step, member, 0, 1, step.period > 0 ? columns.end - columns.begin : 0);
  }

  bool bind(const PlanStep& step, const Member& member, BoundStep& bound) const {
    const int64_t columns = std::max<int64_t>(step.period, 1);  // what one member does alone is a single one
    const int64_t width = short_width(columns, member.team), begin = std::min(member.team.rank * width, columns);
    bound.begin(step, {begin, std::min(begin + width, columns)}, scratch_of(member));
    const auto add = [&](const Operand& operand) { bound.add(address(operand, member.iteration), operand, member.iteration); };
    const auto add_product = [&](const PlanStep& product) {
      bool is_bound = false;
      with_product(product, member.iteration, [&](const auto& sum) { is_bound = bound.add_product(sum, width); });
      if (!is_bound) return false;
      for (const ProductForm::Term& term : product.form.terms) add(term.left.operand);
      add(product.operands.back());
      return true;
    };
    if (step.kind == PlanStep::Kind::product) return add_product(step);
    if (!bound.has_room_for(step.operands.size() + step.constants)) return false;
    for_each_argument(step, add, [&](uint64_t& constant) { bound.add(constant); });
    return std::ranges::all_of(step.products, add_product);
  }

  /// What the iterations [first, end) read of products that are made in pieces. A piece that descends ends where its memory ends.
  void make_pieces(const PlanStep& loop, const Member& member, int64_t first, int64_t end) const {
    if (loop.pieces.empty()) return;
    if (first > 0) member.team.barrier();
    const int64_t begin = loop.descends ? loop.length - end : first;
    const int64_t to = loop.descends ? loop.piece_length - (end - first) : 0;
    for (const PlanStep& step : loop.pieces) {
      const int64_t rows = step.inputs[0].type.shape[0] / loop.length;
      with_product(step, {}, [&](auto product) {
        std::array<std::remove_cvref_t<decltype(*product.terms)>, Plan::kMostTerms> terms;
        std::copy_n(product.terms, product.term_count, terms.begin());
        for (int64_t i = 0; i < product.term_count; ++i) terms[i].a.data += begin * rows * terms[i].a.row_stride;
        product.terms = terms.data();
        product.m = (end - first) * rows;
        product.c += to * rows * product.c_row_stride;
        kernels::product_sum(product, member.team, member.order());
      });
    }
    member.team.barrier();
  }

  void run_kernel(const PlanStep& step, const Member& member) const {
    const int size = member.team.size;
    const bool has_few_rows = step.domain == Domain::rows && step.rows < 2 * size;
    if (size > 1 && has_few_rows && step.part_columns >= kSmallGranule * size) return run_parts(step, {}, member);
    const int64_t extent = step.domain == Domain::rows ? step.rows : step.columns;
    const int64_t granule = step.domain == Domain::rows ? 1 : granule_of(extent, member.team);
    const int64_t granules = (extent + granule - 1) / granule, chunks = chunks_of(step.nanoseconds, granules, member.team);
    member.team.share(chunks, member.order(), [&](int64_t i) {
      const int64_t begin = granules * i / chunks * granule, end = std::min(extent, granules * (i + 1) / chunks * granule);
      call_kernel(step, member, begin, end, 0, step.other_end());
    });
  }

  static int64_t granule_of(int64_t extent, const Team& team) {
    return extent < kGranule * team.size ? kSmallGranule : kGranule;
  }

  /// Many enough that a core that is slow for a while delays nobody.
  static int64_t chunks_of(double nanoseconds, int64_t granules, const Team& team) {
    constexpr double kOfChunk = 2000, kMost = 16;
    if (team.size == 1) return std::min<int64_t>(granules, 1);
    const double wanted = std::clamp<double>(nanoseconds / kOfChunk, team.size, kMost * team.size);
    return std::min(granules, static_cast<int64_t>(wanted));
  }

  /// Who computes some columns of the products goes on with them: no barrier, and while they are in its cache. Where there are
  /// few such parts, products come first as a whole: no member is then idle for long.
  void run_with_products(const PlanStep& step, const Member& member) const {
    const int64_t parts = (step.part_columns + kGranule - 1) / kGranule;
    if (member.team.size == 1 || step.nanoseconds < PlanStep::kShort || parts >= kPartsForEach * member.team.size)
      return run_parts(step, step.products, member);
    for (const PlanStep& product : step.products) run_product(product, member);
    member.team.barrier();
    run_kernel(step, member);
  }

  /// A kernel by columns, those of products before it.
  void run_parts(const PlanStep& step, std::span<const PlanStep> products, const Member& member) const {
    const int64_t width = part_width(step, member.team), parts = (step.part_columns + width - 1) / width;
    member.team.share(parts, member.order(), [&](int64_t i) {
      const int64_t begin = i * width, end = std::min(begin + width, step.part_columns);
      for (const PlanStep& product : products) run_product_columns(product, member, begin, end, step.part_columns);
      call_kernel(step, member, 0, step.rows, begin, end);
    });
  }

  static int64_t part_width(const PlanStep& step, const Team& team) {
    return step.nanoseconds > PlanStep::kShort ? kGranule : short_width(step.part_columns, team);
  }
  /// Of a short step, each member has one part.
  static int64_t short_width(int64_t columns, const Team& team) {
    const int64_t granule = granule_of(columns, team), granules = (columns + granule - 1) / granule;
    return (granules + team.size - 1) / team.size * granule;
  }

  /// What a kernel is called with, in order: inputs, constants, results.
  template <class AddOperand, class AddConstant>
  void for_each_argument(const PlanStep& step, const AddOperand& add, const AddConstant& add_constant) const {
    const size_t inputs = step.inputs.size();
    for (size_t i = 0; i < inputs; ++i) add(step.operands[i]);
    for (size_t i = 0; i < step.constants; ++i) add_constant(plan_.constants_[step.first_constant + i]);
    for (size_t i = inputs; i < step.operands.size(); ++i) add(step.operands[i]);
  }

  void call_kernel(const PlanStep& step, const Member& member, int64_t begin, int64_t end, int64_t other_begin,
                   int64_t other_end) const {
    void* buffers[Plan::kMostOperands];
    int64_t row_strides[Plan::kMostOperands];
    size_t count = 0;
    const auto add = [&](void* buffer, int64_t row_stride) {
      buffers[count] = buffer;
      row_strides[count++] = row_stride;
    };
    for_each_argument(
        step, [&](const Operand& operand) { add(address(operand, member.iteration), operand.row_stride); },
        [&](uint64_t& constant) { add(&constant, 0); });
    if (kAnnouncesAccess) announce(step, member, begin, end, other_end - other_begin);
    step.function(buffers, row_strides, begin, end, other_begin, other_end, scratch_of(member));
  }
  std::byte* scratch_of(const Member& member) const {
    return arena_->data() + plan_.arena_bytes_ + plan_.scratch_bytes_ * member.scratch;
  }

  void announce(const PlanStep& step, const Member& member, int64_t begin, int64_t end, int64_t columns) const {
    if (step.domain == Domain::rows && columns < step.part_columns) return;  // a part of the columns is not described exactly
    size_t i = 0;
    for (const std::vector<Place>* places : {&step.inputs, &step.results})
      for (const Place& place : *places) {
        const Operand& operand = step.operands[i++];
        announce_operand(step, place, address(operand, member.iteration), operand.row_stride, begin, end, places == &step.results);
      }
  }

  void run_product(const PlanStep& step, const Member& member) const {
    with_product(step, member.iteration, [&](const auto& product) { kernels::product_sum(product, member.team, member.order()); });
  }
  void run_product_columns(const PlanStep& step, const Member& member, int64_t begin, int64_t end, int64_t stride) const {
    with_product(step, member.iteration, [&](const auto& product) {
      kernels::product_columns(product, begin, end, product.n / stride, stride, member.order());
    });
  }

  template <class Function>
  void with_product(const PlanStep& step, const Iteration& iteration, const Function& function) const {
    if (step.results[0].type.dtype == DType::f32) with_typed_product<float>(step, iteration, function);
    else with_typed_product<double>(step, iteration, function);
  }
  template <class T, class Function>
  void with_typed_product(const PlanStep& step, const Iteration& iteration, const Function& function) const {
    using Term = kernels::ProductTerm<T>;
    alignas(Term) std::byte memory[Plan::kMostTerms * sizeof(Term)];  // to initialize all takes longer than a small product
    Term* const terms = reinterpret_cast<Term*>(memory);
    const ProductForm& form = step.form;
    for (size_t i = 0; i < form.terms.size(); ++i) {
      const ProductForm::Term& term = form.terms[i];
      const std::byte* const packed = term.packed >= 0 ? packed_[term.packed] : nullptr;
      std::construct_at(terms + i, matrix<T>(term.left, iteration), matrix<T>(term.right, iteration), term.k,
                        reinterpret_cast<const T*>(packed));
    }
    function(kernels::ProductSum<T>{form.m, form.n, terms, static_cast<int64_t>(form.terms.size()),
                                    reinterpret_cast<T*>(address(step.operands.back(), iteration)), form.row_stride, false,
                                    step.panel_columns});
  }

  void run_stack(const PlanStep& step, const Member& member) const {
    if (step.packing.type.dtype == DType::f32) run_typed_stack<float>(step, member);
    else run_typed_stack<double>(step, member);
  }
  template <class T>
  void run_typed_stack(const PlanStep& step, const Member& member) const {
    std::array<kernels::StackedRows<T>, Plan::kMostTerms> blocks;
    for (size_t i = 0; i < step.results.size(); ++i) {
      const Place& c = step.results[i];
      blocks[i] = {c.type.shape[0], matrix<T>(step.inputs[i], member.iteration),
                   reinterpret_cast<T*>(address(c, member.iteration)), c.strides[0]};
    }
    const Place& right = step.inputs.back();
    const kernels::ProductStack<T> stack{blocks.data(), static_cast<int64_t>(step.results.size()),
                                         matrix<T>(right, member.iteration), right.type.shape[1], right.type.shape[0]};
    kernels::product_stack(stack, reinterpret_cast<T*>(address(step.packing, {})), member.team);
  }

  /// Ops without generated code run on one member; what they throw first is kept until all have finished.
  void run_native(const PlanStep& step, const Member& member) {
    if (member.team.rank != 0 || has_failed_.load(std::memory_order_relaxed)) return;
    try {
      std::vector<kernels::View> inputs, results;
      for (const Place& place : step.inputs) inputs.push_back(view(place, member.iteration));
      for (const Place& place : step.results) results.push_back(view(place, member.iteration));
      if (step.kind == PlanStep::Kind::copy) return kernels::copy(inputs[0], results[0]);
      kernels::eager_kernel(step.node->op)(inputs, step.node->attributes, results);
    } catch (...) {
      if (!has_failed_.exchange(true)) failure_ = std::current_exception();
    }
  }

  PlanOutputs outputs() const {
    PlanOutputs tensors(plan_.outputs_.size());
    for (size_t i = 0; i < tensors.size(); ++i) {
      const Place& place = plan_.outputs_[i];
      const PlanBuffer& buffer = plan_.buffers_[place.buffer];
      TensorImpl* impl = TensorImpl::create();
      impl->dtype = place.type.dtype;
      impl->shape = place.type.shape;
      impl->strides = place.strides;
      const bool is_input = buffer.kind == PlanBuffer::Kind::input;
      impl->offset = place.offset + (is_input ? inputs_[buffer.index].impl()->offset : 0);
      impl->storage = is_input ? inputs_[buffer.index].impl()->storage : owned_[buffer.index];
      tensors[i] = Tensor::adopt(impl);
    }
    return tensors;
  }

  Plan& plan_;
  InlineArray<Tensor, 16> inputs_;
  InlineArray<Ref<Storage>, 8> owned_;
  Ref<Storage> arena_;
  InlineArray<std::byte*, 32> starts_;  // of the buffers
  InlineArray<const std::byte*, 16> packed_;  // null: is not packed
  InlineArray<Tensor, 16> packed_memory_;
  /// What this run packs. `weight`: that it is kept with; null where nobody can tell whether it changes.
  struct StalePacking {
    size_t operand;
    uint32_t version;
    std::shared_ptr<PackedWeight> weight;
  };
  std::vector<StalePacking> stale_;
  bool shares_small_loops_ = false;
  int team_size_ = 0;
  std::atomic<bool> has_failed_{false};  // loops of their own members may both
  std::exception_ptr failure_;
};

PlanOutputs Plan::run(std::span<const Tensor> inputs) { return PlanRun(*this, inputs).run(); }

}  // namespace calque
