// What the domains share: the function, the loop, masks and joins; and the flat and columns domains.
#include "codegen/cpu/emit_kernel.h"

#include <llvm/IR/Intrinsics.h>
#include <llvm/IR/Module.h>

#include "codegen/cpu/emit_scalar.h"
#include "ir/op/error.h"

namespace calque::codegen {

int unroll_of(int cost) {
  constexpr int kCheap = 12;
  return cost <= kCheap ? 4 : 1;
}

llvm::Value* emit_loop(llvm::IRBuilder<>& b, const LoopBounds& bounds,
                       llvm::MutableArrayRef<llvm::Value*> carried, LoopBody body) {
  llvm::LLVMContext& context = b.getContext();
  llvm::BasicBlock* before = b.GetInsertBlock();
  llvm::Function* function = before->getParent();
  auto* loop = llvm::BasicBlock::Create(context, "loop", function);
  auto* after = llvm::BasicBlock::Create(context, "after", function);
  const auto reaches = [&](llvm::Value* index) {
    return b.CreateICmpSLE(b.CreateNSWAdd(index, b.getInt64(bounds.reach)), bounds.end);
  };
  if (bounds.runs)
    b.CreateBr(loop);
  else
    b.CreateCondBr(reaches(bounds.start), loop, after);

  b.SetInsertPoint(loop);
  llvm::PHINode* index = b.CreatePHI(b.getInt64Ty(), 2, "index");
  index->addIncoming(bounds.start, before);
  std::vector<llvm::PHINode*> phis;
  const std::vector<llvm::Value*> initial(carried.begin(), carried.end());
  for (llvm::Value*& value : carried) {
    phis.push_back(b.CreatePHI(value->getType(), 2));
    phis.back()->addIncoming(value, before);
    value = phis.back();
  }
  body(index, carried);
  llvm::BasicBlock* latch = b.GetInsertBlock();
  llvm::Value* next = b.CreateNSWAdd(index, b.getInt64(bounds.step));
  index->addIncoming(next, latch);
  for (size_t i = 0; i < phis.size(); ++i) phis[i]->addIncoming(carried[i], latch);
  b.CreateCondBr(reaches(next), loop, after);

  b.SetInsertPoint(after);
  if (bounds.runs) return next;
  llvm::PHINode* last = b.CreatePHI(b.getInt64Ty(), 2);
  last->addIncoming(bounds.start, before);
  last->addIncoming(next, latch);
  for (size_t i = 0; i < phis.size(); ++i) {
    llvm::PHINode* value = b.CreatePHI(carried[i]->getType(), 2);
    value->addIncoming(initial[i], before);
    value->addIncoming(carried[i], latch);
    carried[i] = value;
  }
  return last;
}

llvm::Value* mask_below(llvm::IRBuilder<>& b, llvm::Value* index, llvm::Value* end, unsigned lanes) {
  llvm::Value* left =
      b.CreateBinaryIntrinsic(llvm::Intrinsic::umin, b.CreateSub(end, index), b.getInt64(lanes));
  llvm::Value* bound = b.CreateVectorSplat(lanes, b.CreateTrunc(left, b.getInt32Ty()));
  return b.CreateICmpULT(b.CreateStepVector(bound->getType()), bound);
}

llvm::Constant* reduction_identity(llvm::LLVMContext& context, Op op, DType dtype, unsigned lanes) {
  return constant_of(context, dtype, identity_value(row(op).identity), lanes);
}

llvm::Value* emit_join(llvm::IRBuilder<>& b, Op op, DType dtype, llvm::Value* accumulated, llvm::Value* value,
                       unsigned lanes) {
  llvm::Value* const arguments[] = {accumulated, value};
  return emit_program(b, scalar_program(row(op).join, dtype, dtype), arguments, lanes);
}

void emit_flat(ValueEmitter& values, llvm::Value* begin, llvm::Value* end) {
  const Stage& stage = values.plan().stages.front();
  llvm::IRBuilder<>& b = values.body();
  // Scalars are made in the entry block, in front of its branch.
  auto* loops = llvm::BasicBlock::Create(b.getContext(), "elements", b.GetInsertBlock()->getParent());
  values.once().SetInsertPoint(b.CreateBr(loops));
  b.SetInsertPoint(loops);
  const auto emit_blocks = [&](std::vector<ColumnBlock> blocks) {
    // All loads come before all stores: results may share the buffers of operands.
    std::vector<std::vector<llvm::Value*>> results(blocks.size());
    for (size_t i = 0; i < blocks.size(); ++i)
      for (const Store& store : stage.stores) results[i].push_back(values.vector(store.value, blocks[i]));
    for (size_t i = 0; i < blocks.size(); ++i)
      for (size_t k = 0; k < stage.stores.size(); ++k)
        values.store_vector(results[i][k], values.plan().body().type(stage.stores[k].value).dtype,
                            stage.stores[k].place, blocks[i]);
  };
  const int unroll = unroll_of(stage.cost);
  const int64_t lanes = values.lanes();
  llvm::Value* rest =
      emit_loop(b, {begin, end, unroll * lanes, unroll * lanes}, {}, [&](llvm::Value* index, auto) {
        std::vector<ColumnBlock> blocks(unroll);
        for (int i = 0; i < unroll; ++i) blocks[i] = {index, i * lanes, nullptr, {}};
        emit_blocks(std::move(blocks));
      });
  emit_loop(b, {rest, end, 1, lanes}, {}, [&](llvm::Value* index, auto) {
    emit_blocks({{index, 0, mask_below(b, index, end, values.lanes()), {}}});
  });
}

namespace {

/// Sums `blocks` of columns over all rows, then stores the results.
void emit_column_blocks(ValueEmitter& values, std::vector<ColumnBlock> blocks) {
  const KernelPlan& plan = values.plan();
  const Graph& graph = plan.body();
  const Stage& stage = plan.stages.front();
  llvm::IRBuilder<>& b = values.body();
  values.forget();
  std::vector<llvm::Value*> sums;
  for (size_t i = 0; i < blocks.size(); ++i)
    for (NodeId id : stage.reductions) {
      const Node& node = graph.node(id);
      sums.push_back(
          reduction_identity(b.getContext(), node.op, graph.type(node.result()).dtype, values.lanes()));
    }
  if (plan.kernel.rows > 0) {
    // Their number is the caller's, and not 0.
    llvm::Value* row_count = b.GetInsertBlock()->getParent()->getArg(kOtherEndArgument);
    const LoopBounds rows{b.getInt64(0), row_count, 1, 1, true};
    emit_loop(b, rows, sums, [&](llvm::Value* row, llvm::MutableArrayRef<llvm::Value*> carried) {
      values.once().SetInsertPoint(b.GetInsertBlock());
      values.set_row(row);
      size_t next = 0;
      for (ColumnBlock block : blocks)  // a copy: what is known holds for one row
        for (NodeId id : stage.reductions) {
          const Node& node = graph.node(id);
          const DType dtype = graph.type(node.result()).dtype;
          carried[next] = emit_join(b, node.op, dtype, carried[next], values.vector(node.inputs[0], block),
                                    values.lanes());
          ++next;
        }
    });
  }
  values.once().SetInsertPoint(b.GetInsertBlock());
  values.set_row(nullptr);
  size_t next = 0;
  for (ColumnBlock& block : blocks)
    for (NodeId id : stage.reductions) block.known[{graph.node(id).result(), 0}] = sums[next++];
  for (ColumnBlock& block : blocks)
    for (const Store& store : stage.stores)
      values.store_vector(values.vector(store.value, block), graph.type(store.value).dtype, store.place,
                          block);
}

llvm::Function* declare_kernel(llvm::Module& module, const std::string& name, int vector_bytes) {
  llvm::LLVMContext& context = module.getContext();
  auto* pointer = llvm::PointerType::get(context, 0);
  auto* word = llvm::Type::getInt64Ty(context);
  auto* type =
      llvm::FunctionType::get(llvm::Type::getVoidTy(context), {pointer, pointer, word, word, word, word, pointer}, false);
  auto* function = llvm::Function::Create(type, llvm::Function::ExternalLinkage, name, module);
  function->setVisibility(llvm::GlobalValue::HiddenVisibility);
  function->setDSOLocal(true);
  function->setDoesNotThrow();
  function->addFnAttr("no-builtins");  // nothing outside the image may be called
  function->addFnAttr("prefer-vector-width", std::to_string(8 * vector_bytes));
  function->addParamAttr(kScratchArgument, llvm::Attribute::NoAlias);  // scratch is the calling thread's own
  return function;
}

}  // namespace

void emit_columns(ValueEmitter& values, llvm::Value* begin, llvm::Value* end) {
  llvm::IRBuilder<>& b = values.body();
  const int unroll = unroll_of(values.plan().stages.front().cost);
  const int64_t lanes = values.lanes();
  llvm::Value* rest =
      emit_loop(b, {begin, end, unroll * lanes, unroll * lanes}, {}, [&](llvm::Value* index, auto) {
        std::vector<ColumnBlock> blocks(unroll);
        for (int i = 0; i < unroll; ++i) blocks[i] = {index, i * lanes, nullptr, {}};
        emit_column_blocks(values, std::move(blocks));
      });
  emit_loop(b, {rest, end, 1, lanes}, {}, [&](llvm::Value* index, auto) {
    emit_column_blocks(values, {{index, 0, mask_below(b, index, end, values.lanes()), {}}});
  });
}

void emit_kernel(llvm::Module& module, const std::string& name, const KernelPlan& plan, int vector_bytes) {
  llvm::Function* function = declare_kernel(module, name, vector_bytes);
  ValueEmitter values(plan, *function, static_cast<unsigned>(vector_bytes / plan.widest_bytes));
  llvm::Value *begin = function->getArg(kBeginArgument), *end = function->getArg(kEndArgument);
  switch (plan.kernel.domain) {
    case Domain::flat:
      emit_flat(values, begin, end);
      break;
    case Domain::rows:
      emit_rows(values, begin, end, {function->getArg(kOtherBeginArgument), function->getArg(kOtherEndArgument)});
      break;
    case Domain::columns:
      emit_columns(values, begin, end);
      break;
  }
  values.body().CreateRetVoid();
}

}  // namespace calque::codegen
