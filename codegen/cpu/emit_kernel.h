// One kernel of the plan as an LLVM function: the loops over rows and columns around its values.
#pragma once

#include "codegen/cpu/emit_values.h"

namespace calque::codegen {

/// Appends the function `name` of type calque_kernel to the module. `vector_bytes` is 64 or 32.
void emit_kernel(llvm::Module& module, const std::string& name, const KernelPlan& plan, int vector_bytes);

// The three domains, each in a file of its own.
void emit_flat(ValueEmitter& values, llvm::Value* begin, llvm::Value* end);
struct ColumnRange {
  llvm::Value *begin, *end;
};
void emit_rows(ValueEmitter& values, llvm::Value* begin, llvm::Value* end, const ColumnRange& part);
void emit_columns(ValueEmitter& values, llvm::Value* begin, llvm::Value* end);

/// How many vectors to compute side by side: cheap columns in fours, so that the loop's own instructions do
/// not count.
int unroll_of(int cost);

/// for (index = start; index + reach <= end; index += step) body(index), with values carried from one
/// iteration to the next; `carried` holds the initial values and is left with the last ones. `runs` states
/// that it runs at least once.
struct LoopBounds {
  llvm::Value* start;
  llvm::Value* end;
  int64_t reach, step;
  bool runs = false;
};
using LoopBody = llvm::function_ref<void(llvm::Value* index, llvm::MutableArrayRef<llvm::Value*> carried)>;
/// Gives the index after the loop.
llvm::Value* emit_loop(llvm::IRBuilder<>& builder, const LoopBounds& bounds,
                       llvm::MutableArrayRef<llvm::Value*> carried, LoopBody body);

/// The lanes below end - index: the mask of a loop's last, incomplete vector.
llvm::Value* mask_below(llvm::IRBuilder<>& builder, llvm::Value* index, llvm::Value* end, unsigned lanes);

/// What a reduction starts from, and its join; a scalar where lanes is 1.
llvm::Constant* reduction_identity(llvm::LLVMContext& context, Op op, DType dtype, unsigned lanes);
llvm::Value* emit_join(llvm::IRBuilder<>& builder, Op op, DType dtype, llvm::Value* accumulated,
                       llvm::Value* value, unsigned lanes);

}  // namespace calque::codegen
