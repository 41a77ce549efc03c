// The rows domain: a loop over rows, in it the stages one after the other, and the lane tree of their
// reductions.
#include <algorithm>
#include <numeric>

#include "calque/kernel_abi.h"
#include "codegen/cpu/emit_kernel.h"
#include "codegen/cpu/emit_scalar.h"
#include "ir/op/reduction.h"

namespace calque::codegen {

namespace {

class RowEmitter {
 public:
  RowEmitter(ValueEmitter& values, const ColumnRange& part)
      : values_(values),
        part_(part),
        plan_(values.plan()),
        graph_(plan_.body()),
        b_(values.body()),
        lanes_(values.lanes()) {}

  void emit_row(llvm::Value* row) {
    values_.forget();
    values_.set_row(row);
    for (const Stage& stage : plan_.stages) {
      begin_stage(stage);
      if (stage.key.width == 1)
        emit_scalars(stage);
      else if (plan_.part_columns() > 0)
        emit_part(stage);
      else if (plan_.any_columns)
        emit_any_columns(stage);
      else
        emit_columns(stage);
      for (const ZeroFill& fill : stage.fills) emit_fill(fill);
    }
  }

 private:
  /// Scalars that the stage needs are made at the end of the block before its columns.
  void begin_stage(const Stage& stage) {
    auto* columns = llvm::BasicBlock::Create(b_.getContext(), "stage", b_.GetInsertBlock()->getParent());
    values_.once().SetInsertPoint(b_.CreateBr(columns));
    b_.SetInsertPoint(columns);
    values_.set_stage(stage.key);
  }

  DType dtype(ValueId value) const { return graph_.type(value).dtype; }

  void emit_scalars(const Stage& stage) {
    for (const Store& store : stage.stores)
      values_.store_scalar(values_.scalar(store.value), dtype(store.value), store.place);
    for (NodeId id : stage.reductions) {  // lane 0 takes the element; joining the other lanes changes nothing
      const Node& node = graph_.node(id);
      const DType type = dtype(node.result());
      llvm::Value* identity = reduction_identity(b_.getContext(), node.op, type, 1);
      values_.define_scalar(node.result(),
                            emit_join(b_, node.op, type, identity, values_.scalar(node.inputs[0]), 1));
    }
  }

  /// The columns that the caller asks for. Whole vectors but for the end of a width that is no multiple of them.
  void emit_part(const Stage& stage) {
    const int unroll = unroll_of(stage.cost);
    const int64_t step = unroll * static_cast<int64_t>(lanes_);
    llvm::Value* rest = emit_loop(b_, {part_.begin, part_.end, step, step}, {}, [&](llvm::Value* index, auto) {
      emit_vectors(stage, index, 0, unroll);
    });
    if (!plan_.any_columns && stage.key.width % step == 0 && CALQUE_PART_COLUMNS % step == 0) return;
    const bool masked = plan_.any_columns || stage.key.width % lanes_ != 0;
    emit_loop(b_, {rest, part_.end, masked ? 1 : static_cast<int64_t>(lanes_), lanes_}, {}, [&](llvm::Value* index, auto) {
      emit_vector(stage, {index, 0, masked ? mask_below(b_, index, part_.end, lanes_) : nullptr, {}});
    });
  }

  /// Each reduction has kLanes / lanes accumulators. `accumulators_[k]` of reduction k holds them as a queue:
  /// the front takes the next vector and moves to the back, so the same code serves any number of vectors.
  void begin_reductions(const Stage& stage) {
    group_ = static_cast<int>(reduction::kLanes) / static_cast<int>(lanes_);
    accumulators_.clear();
    for (NodeId id : stage.reductions) {
      const Node& node = graph_.node(id);
      accumulators_.insert(accumulators_.end(), group_,
                           reduction_identity(b_.getContext(), node.op, dtype(node.result()), lanes_));
    }
  }

  /// A loop that carries the accumulators. Gives where it stopped.
  template <class Emit>
  llvm::Value* emit_accumulating(const LoopBounds& bounds, const Emit& emit) {
    std::vector<llvm::Value*> carried = accumulators_;
    llvm::Value* last = emit_loop(b_, bounds, carried, [&](llvm::Value* index, llvm::MutableArrayRef<llvm::Value*> current) {
      accumulators_.assign(current.begin(), current.end());
      emit(index);
      std::copy(accumulators_.begin(), accumulators_.end(), current.begin());
    });
    accumulators_ = std::move(carried);
    return last;
  }

  /// As many columns as the caller says. The last ones are masked, as many vectors as in the loop, so that each accumulator has its
  /// turn; a masked lane joins the identity, which changes nothing.
  void emit_any_columns(const Stage& stage) {
    begin_reductions(stage);
    const int unroll = stage.reductions.empty() ? unroll_of(stage.cost) : group_;
    const int64_t step = unroll * static_cast<int64_t>(lanes_);
    llvm::Value* rest = emit_accumulating({part_.begin, part_.end, step, step},
                                          [&](llvm::Value* index) { emit_vectors(stage, index, 0, unroll); });
    emit_accumulating({rest, part_.end, 1, step}, [&](llvm::Value* index) {
      for (int64_t offset = 0; offset < step; offset += lanes_)
        emit_vector(stage, {index, offset, mask_at_end(index, offset), {}});
    });
    for (size_t k = 0; k < stage.reductions.size(); ++k) finish_reduction(k, stage.reductions[k], 0);
  }

  /// Of the vector `offset` columns behind the index, which may begin behind the end.
  llvm::Value* mask_at_end(llvm::Value* index, int64_t offset) {
    llvm::Value* left = b_.CreateSub(b_.CreateSub(part_.end, index), b_.getInt64(offset));
    llvm::Value* bound = b_.CreateVectorSplat(lanes_, b_.CreateTrunc(left, b_.getInt32Ty()));
    return b_.CreateICmpSLT(b_.CreateStepVector(bound->getType()), bound);
  }

  void emit_columns(const Stage& stage) {
    begin_reductions(stage);
    const bool cheap = unroll_of(stage.cost) > 1;
    const int unroll = !cheap ? 1 : stage.reductions.empty() ? unroll_of(stage.cost) : group_;
    const int64_t step = unroll * static_cast<int64_t>(lanes_);
    const int64_t steps = stage.key.width / step;
    if (steps == 1) emit_vectors(stage, nullptr, 0, unroll);
    if (steps > 1)
      emit_accumulating({b_.getInt64(0), b_.getInt64(steps * step), step, step, true},
                        [&](llvm::Value* index) { emit_vectors(stage, index, 0, unroll); });
    const int64_t done = steps * step, left = stage.key.width - done;
    const int64_t rest = (left + lanes_ - 1) / lanes_;
    for (int64_t i = 0; i < rest; ++i)
      emit_vector(stage, nullptr, done + i * lanes_,
                  static_cast<unsigned>(std::min<int64_t>(lanes_, left - i * lanes_)));
    const int64_t vectors = steps * unroll + rest;
    for (size_t k = 0; k < stage.reductions.size(); ++k) finish_reduction(k, stage.reductions[k], vectors);
  }

  void emit_vectors(const Stage& stage, llvm::Value* index, int64_t offset, int count) {
    for (int i = 0; i < count; ++i)
      emit_vector(stage, index, offset + i * static_cast<int64_t>(lanes_), lanes_);
  }

  llvm::Constant* first_lanes(unsigned count) const {
    std::vector<llvm::Constant*> bits;
    for (unsigned i = 0; i < lanes_; ++i) bits.push_back(b_.getInt1(i < count));
    return llvm::ConstantVector::get(bits);
  }

  void emit_vector(const Stage& stage, llvm::Value* index, int64_t offset, unsigned count) {
    emit_vector(stage, {index, offset, count < lanes_ ? first_lanes(count) : nullptr, {}});
  }

  void emit_vector(const Stage& stage, ColumnBlock block) {
    std::vector<llvm::Value*> results;
    for (const Store& store : stage.stores) results.push_back(values_.vector(store.value, block));
    for (size_t k = 0; k < stage.reductions.size(); ++k) {
      const Node& node = graph_.node(stage.reductions[k]);
      const DType type = dtype(node.result());
      llvm::Value* value = values_.vector(node.inputs[0], block);
      if (block.mask)
        value =
            b_.CreateSelect(block.mask, value, reduction_identity(b_.getContext(), node.op, type, lanes_));
      const auto queue = accumulators_.begin() + k * group_;
      *queue = emit_join(b_, node.op, type, *queue, value, lanes_);
      std::rotate(queue, queue + 1, queue + group_);
    }
    for (size_t i = 0; i < stage.stores.size(); ++i)
      values_.store_vector(results[i], dtype(stage.stores[i].value), stage.stores[i].place, block);
  }

  /// Halves the lanes: 16, 8, 4, 2, 1.
  void finish_reduction(size_t k, NodeId id, int64_t vectors) {
    const Node& node = graph_.node(id);
    const DType type = dtype(node.result());
    std::vector<llvm::Value*> parts(accumulators_.begin() + k * group_,
                                    accumulators_.begin() + (k + 1) * group_);
    std::rotate(parts.begin(), parts.end() - vectors % group_, parts.end());  // lane 0 first again
    while (parts.size() > 1) {
      const size_t half = parts.size() / 2;
      for (size_t i = 0; i < half; ++i)
        parts[i] = emit_join(b_, node.op, type, parts[i], parts[i + half], lanes_);
      parts.resize(half);
    }
    llvm::Value* lanes = parts[0];
    for (unsigned half = lanes_ / 2; half > 1; half /= 2)
      lanes = emit_join(b_, node.op, type, lane_range(lanes, 0, half), lane_range(lanes, half, half), half);
    llvm::Value* low = b_.CreateExtractElement(lanes, uint64_t{0});
    values_.define_scalar(node.result(),
                          emit_join(b_, node.op, type, low, b_.CreateExtractElement(lanes, uint64_t{1}), 1));
  }

  llvm::Value* lane_range(llvm::Value* vector, unsigned first, unsigned count) {
    std::vector<int> lanes(count);
    std::iota(lanes.begin(), lanes.end(), static_cast<int>(first));
    return b_.CreateShuffleVector(vector, lanes);
  }

  void emit_fill(const ZeroFill& fill) {
    llvm::Value* zeros = constant_of(b_.getContext(), fill.dtype, 0.0, lanes_);
    const int64_t whole = fill.width / lanes_ * lanes_;
    if (whole > 0) {
      const LoopBounds bounds{b_.getInt64(0), b_.getInt64(whole), lanes_, lanes_, true};
      emit_loop(b_, bounds, {}, [&](llvm::Value* index, auto) {
        values_.store_vector(zeros, fill.dtype, fill.place, {index, 0, nullptr, {}});
      });
    }
    const auto left = static_cast<unsigned>(fill.width - whole);
    if (left > 0)
      values_.store_vector(zeros, fill.dtype, fill.place, {nullptr, whole, first_lanes(left), {}});
  }

  ValueEmitter& values_;
  ColumnRange part_;
  const KernelPlan& plan_;
  const Graph& graph_;
  llvm::IRBuilder<>& b_;
  unsigned lanes_;
  int group_ = 1;
  std::vector<llvm::Value*> accumulators_;
};

}  // namespace

void emit_rows(ValueEmitter& values, llvm::Value* begin, llvm::Value* end, const ColumnRange& part) {
  RowEmitter rows(values, part);
  emit_loop(values.body(), {begin, end, 1, 1}, {}, [&](llvm::Value* row, auto) { rows.emit_row(row); });
}

}  // namespace calque::codegen
