// Values of a fusion's body as LLVM IR, made on demand: asked for a value in some columns, it emits what that
// takes. Index maps cost nothing; they only change which columns of their operand are asked for.
#pragma once

#include <llvm/IR/IRBuilder.h>

#include <map>
#include <utility>
#include <vector>

#include "codegen/cpu/kernel_plan.h"

namespace calque::codegen {

/// Of calque_kernel.
inline constexpr unsigned kBeginArgument = 2, kEndArgument = 3, kOtherBeginArgument = 4, kOtherEndArgument = 5,
                          kScratchArgument = 6;

/// A value in the columns that begin `first` columns behind those of a block.
using ValueKey = std::pair<ValueId, int64_t>;

/// The columns index + offset + 0, 1, ..., lanes - 1 of one vector, and what is known in them.
struct ColumnBlock {
  llvm::Value* index = nullptr;  // i64; null is 0
  int64_t offset = 0;
  llvm::Value* mask = nullptr;  // <lanes x i1>; null means all. Masked lanes are neither loaded nor stored.
  std::map<ValueKey, llvm::Value*> known;
};

class ValueEmitter {
 public:
  /// `function` has the type calque_kernel. Emits into a new entry block.
  ValueEmitter(const KernelPlan& plan, llvm::Function& function, unsigned lanes);

  /// Where the next columns are computed, and where that needs only be done once for all columns of a row: a
  /// block that runs before. What was once emitted there stays valid until `forget`.
  llvm::IRBuilder<>& body() { return body_; }
  llvm::IRBuilder<>& once() { return once_; }
  void forget();
  void set_row(llvm::Value* row) { row_ = row; }
  void set_stage(const StageKey& key) { stage_ = key; }

  /// A vector of the value in a block's columns; scalars are repeated.
  llvm::Value* vector(ValueId value, ColumnBlock& block, int64_t first = 0);
  /// One element: the value in one column.
  llvm::Value* scalar(ValueId value, int64_t column = 0);
  void define_scalar(ValueId value, llvm::Value* element) { scalars_[{value, 0}] = element; }

  void store_vector(llvm::Value* vector, DType dtype, const Place& place, const ColumnBlock& block);
  void store_scalar(llvm::Value* element, DType dtype, const Place& place);

  const KernelPlan& plan() const { return plan_; }
  unsigned lanes() const { return lanes_; }

 private:
  llvm::Value* compute(ValueId value, ColumnBlock* block, int64_t first);
  llvm::Value* emit(ValueId value, ColumnBlock* block, int64_t first);
  llvm::Value* emit_elementwise(const Node& node, ColumnBlock* block, int64_t first);
  llvm::Value* emit_arange(const Node& node, ColumnBlock* block, int64_t first);
  llvm::Value* splat(ValueId value);
  llvm::Value* load(ValueId value, ColumnBlock* block, int64_t first);
  llvm::Value* operand_of(ValueId operand, ColumnBlock* block, int64_t first);
  llvm::Value* row_pointer(const Place& place, bool has_rows);
  llvm::Value* element_pointer(llvm::IRBuilder<>& builder, llvm::Value* row, DType dtype,
                               const ColumnBlock* block, int64_t first);

  const KernelPlan& plan_;
  llvm::Function& function_;
  unsigned lanes_;
  llvm::IRBuilder<> body_, once_;
  std::vector<llvm::Value*> buffers_, strides_;  // of the operands
  llvm::Value* row_ = nullptr;
  StageKey stage_;
  std::map<uint32_t, llvm::Value*> row_pointers_;
  std::map<ValueKey, llvm::Value*> scalars_;
  std::map<ValueId, llvm::Value*> splats_;
};

}  // namespace calque::codegen
