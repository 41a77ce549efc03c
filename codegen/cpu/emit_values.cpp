// Emits loads, index maps and elementwise ops; remembers what a block of columns and a row already have.
#include "codegen/cpu/emit_values.h"

#include <llvm/IR/Intrinsics.h>

#include <limits>

#include "codegen/cpu/emit_scalar.h"
#include "ir/op/error.h"

namespace calque::codegen {

ValueEmitter::ValueEmitter(const KernelPlan& plan, llvm::Function& function, unsigned lanes)
    : plan_(plan),
      function_(function),
      lanes_(lanes),
      body_(function.getContext()),
      once_(function.getContext()) {
  auto* entry = llvm::BasicBlock::Create(function.getContext(), "entry", &function);
  body_.SetInsertPoint(entry);
  once_.SetInsertPoint(entry);
  const size_t operands = plan.body().inputs().size() + plan.body().outputs().size();
  for (size_t i = 0; i < operands; ++i) {
    llvm::Value* buffer = body_.CreateConstInBoundsGEP1_64(body_.getPtrTy(), function.getArg(0), i);
    llvm::Value* stride = body_.CreateConstInBoundsGEP1_64(body_.getInt64Ty(), function.getArg(1), i);
    buffers_.push_back(body_.CreateLoad(body_.getPtrTy(), buffer));
    strides_.push_back(body_.CreateLoad(body_.getInt64Ty(), stride));
  }
}

void ValueEmitter::forget() {
  row_pointers_.clear();
  scalars_.clear();
  splats_.clear();
}

llvm::Value* ValueEmitter::vector(ValueId value, ColumnBlock& block, int64_t first) {
  return compute(value, &block, first);
}
llvm::Value* ValueEmitter::scalar(ValueId value, int64_t column) { return compute(value, nullptr, column); }

llvm::Value* ValueEmitter::compute(ValueId value, ColumnBlock* block, int64_t first) {
  const bool is_defined = block && block->known.contains({value, first});
  if (block && !is_defined && plan_.is_scalar(value)) return splat(value);
  std::map<ValueKey, llvm::Value*>& known = block ? block->known : scalars_;
  if (const auto found = known.find({value, first}); found != known.end()) return found->second;
  llvm::Value* result = emit(value, block, first);
  known[{value, first}] = result;
  return result;
}

llvm::Value* ValueEmitter::splat(ValueId value) {
  if (const auto found = splats_.find(value); found != splats_.end()) return found->second;
  llvm::Value* element = scalar(value);
  return splats_[value] = once_.CreateVectorSplat(lanes_, element);
}

llvm::Value* ValueEmitter::operand_of(ValueId operand, ColumnBlock* block, int64_t first) {
  return compute(operand, block, plan_.is_scalar(operand) ? 0 : first);
}

llvm::Value* ValueEmitter::emit(ValueId value, ColumnBlock* block, int64_t first) {
  const Graph& graph = plan_.body();
  if (graph.is_input(value) || plan_.is_stored_before(value, stage_)) return load(value, block, first);
  const Node& node = graph.node(graph.producer(value));
  switch (node.op) {
    case Op::slice:
      if (plan_.forms[node.inputs[0]] == plan_.forms[value]) return operand_of(node.inputs[0], block, first);
      return compute(node.inputs[0], block, first + node.attributes[1]);
    case Op::split:
      return compute(node.inputs[0], block, first + (value - node.first_result) * plan_.forms[value].width);
    case Op::reshape:
    case Op::permute:
    case Op::detach:
    case Op::expand:
      return operand_of(node.inputs[0], block, first);
    case Op::full:
      return constant_of(body_.getContext(), node.attributes.dtype(1), node.attributes.number(0),
                         block ? lanes_ : 1);
    case Op::arange:
      return emit_arange(node, block, first);
    default:
      break;
  }
  if (row(node.op).kind != OpKind::elementwise)
    throw InternalError("a value of a fusion is read before it is made");
  return emit_elementwise(node, block, first);
}

llvm::Value* ValueEmitter::emit_elementwise(const Node& node, ColumnBlock* block, int64_t first) {
  const Graph& graph = plan_.body();
  const ScalarProgram& program =
      scalar_program(node.op, graph.type(node.inputs.back()).dtype, graph.type(node.result()).dtype);
  std::vector<llvm::Value*> arguments;
  for (ValueId input : node.inputs) arguments.push_back(operand_of(input, block, first));
  return emit_program(block ? body_ : once_, program, arguments, block ? lanes_ : 1);
}

/// The column index; computed in i32 where every index fits, which every other number type then holds as
/// exactly.
llvm::Value* ValueEmitter::emit_arange(const Node& node, ColumnBlock* block, int64_t first) {
  llvm::IRBuilder<>& b = block ? body_ : once_;
  const DType dtype = node.attributes.dtype(1);
  if (!block) return constant_of(b.getContext(), dtype, static_cast<double>(first), 1);
  const bool narrow = node.attributes[0] <= std::numeric_limits<int32_t>::max();
  llvm::Type* integer = narrow ? b.getInt32Ty() : b.getInt64Ty();
  llvm::Value* start = b.getInt64(block->offset + first);
  if (block->index) start = b.CreateAdd(start, block->index);
  start = b.CreateVectorSplat(lanes_, b.CreateTrunc(start, integer));
  llvm::Value* index = b.CreateAdd(start, b.CreateStepVector(start->getType()));
  llvm::Type* type = register_type(b.getContext(), scalar_type(dtype), lanes_);
  if (is_floating(dtype)) return b.CreateSIToFP(index, type);
  if (dtype == DType::i32 && !narrow) {
    llvm::Constant* largest =
        constant_of(b.getContext(), DType::i64, std::numeric_limits<int32_t>::max(), lanes_);
    index = b.CreateBinaryIntrinsic(llvm::Intrinsic::smin, index, largest);
  }
  return b.CreateSExtOrTrunc(index, type);
}

llvm::Value* ValueEmitter::row_pointer(const Place& place, bool has_rows) {
  if (place.kind == Place::Kind::scratch) return function_.getArg(kScratchArgument);
  if (!has_rows || !row_) return buffers_[place.operand];
  llvm::Value*& pointer = row_pointers_[place.operand];
  if (!pointer)
    pointer = once_.CreateGEP(once_.getInt8Ty(), buffers_[place.operand],
                              once_.CreateMul(row_, strides_[place.operand]));
  return pointer;
}

llvm::Value* ValueEmitter::element_pointer(llvm::IRBuilder<>& b, llvm::Value* row, DType dtype,
                                           const ColumnBlock* block, int64_t first) {
  llvm::Type* type = memory_type(b.getContext(), dtype, 1);
  if (block && block->index) row = b.CreateGEP(type, row, block->index);
  const int64_t offset = first + (block ? block->offset : 0);
  return offset == 0 ? row : b.CreateConstGEP1_64(type, row, offset);
}

namespace {

llvm::Value* with_byte_offset(llvm::IRBuilder<>& b, llvm::Value* pointer, int64_t bytes) {
  return bytes == 0 ? pointer : b.CreateConstGEP1_64(b.getInt8Ty(), pointer, bytes);
}

}  // namespace

llvm::Value* ValueEmitter::load(ValueId value, ColumnBlock* block, int64_t first) {
  const Place& place = plan_.places[value];
  const DType dtype = plan_.body().type(value).dtype;
  llvm::Value* row = with_byte_offset(once_, row_pointer(place, plan_.has_rows(value)), place.byte_offset);
  llvm::IRBuilder<>& b = block ? body_ : once_;
  llvm::Type* type = memory_type(b.getContext(), dtype, block ? lanes_ : 1);
  llvm::Value* pointer = element_pointer(b, row, dtype, block, first);
  const llvm::Align alignment(size_of(dtype));
  llvm::Value* result =
      block && block->mask
          ? b.CreateMaskedLoad(type, pointer, alignment, block->mask, llvm::Constant::getNullValue(type))
          : static_cast<llvm::Value*>(b.CreateAlignedLoad(type, pointer, alignment));
  if (dtype == DType::boolean) result = b.CreateIsNotNull(result);
  return result;
}

void ValueEmitter::store_vector(llvm::Value* vector, DType dtype, const Place& place,
                                const ColumnBlock& block) {
  llvm::Value* row = with_byte_offset(once_, row_pointer(place, true), place.byte_offset);
  if (dtype == DType::boolean)
    vector = body_.CreateZExt(vector, memory_type(body_.getContext(), dtype, lanes_));
  llvm::Value* pointer = element_pointer(body_, row, dtype, &block, 0);
  const llvm::Align alignment(size_of(dtype));
  if (block.mask)
    body_.CreateMaskedStore(vector, pointer, alignment, block.mask);
  else
    body_.CreateAlignedStore(vector, pointer, alignment);
}

void ValueEmitter::store_scalar(llvm::Value* element, DType dtype, const Place& place) {
  llvm::Value* row = with_byte_offset(body_, row_pointer(place, true), place.byte_offset);
  if (dtype == DType::boolean) element = body_.CreateZExt(element, body_.getInt8Ty());
  body_.CreateAlignedStore(element, row, llvm::Align(size_of(dtype)));
}

}  // namespace calque::codegen
