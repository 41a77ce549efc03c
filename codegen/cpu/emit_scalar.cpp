// One LLVM instruction or intrinsic for each primitive of a scalar program.
#include "codegen/cpu/emit_scalar.h"

#include <llvm/IR/Intrinsics.h>

#include <cmath>
#include <limits>
#include <vector>

#include "ir/op/error.h"

namespace calque::codegen {

namespace {

bool is_float(ScalarType type) { return type == ScalarType::f32 || type == ScalarType::f64; }

llvm::Type* with_lanes(llvm::Type* element, unsigned lanes) {
  return lanes == 1 ? element : llvm::FixedVectorType::get(element, lanes);
}
llvm::Constant* with_lanes(llvm::Constant* element, unsigned lanes) {
  return lanes == 1 ? element : llvm::ConstantVector::getSplat(llvm::ElementCount::getFixed(lanes), element);
}

template <class Integer>
Integer saturated(double value) {
  if (std::isnan(value)) return 0;
  if (value <= static_cast<double>(std::numeric_limits<Integer>::min()))
    return std::numeric_limits<Integer>::min();
  if (value >= static_cast<double>(std::numeric_limits<Integer>::max()))
    return std::numeric_limits<Integer>::max();
  return static_cast<Integer>(value);
}

class ProgramEmitter {
 public:
  ProgramEmitter(llvm::IRBuilder<>& builder, const ScalarProgram& program,
                 std::span<llvm::Value* const> arguments, unsigned lanes)
      : b_(builder), program_(program), arguments_(arguments), lanes_(lanes), values_(program.nodes.size()) {}

  llvm::Value* run() {
    std::vector<bool> used(values_.size());
    used[program_.result] = true;
    for (size_t i = values_.size(); i-- > 0;)
      for (int operand : program_.nodes[i].operands)
        if (used[i] && operand >= 0) used[operand] = true;
    for (size_t i = 0; i < values_.size(); ++i)
      if (used[i]) values_[i] = emit(program_.nodes[i]);
    return values_[program_.result];
  }

 private:
  llvm::Value* operand(const ScalarNode& node, int i) const { return values_[node.operands[i]]; }
  ScalarType operand_type(const ScalarNode& node) const { return program_.nodes[node.operands[0]].type; }
  llvm::Type* type_of(const ScalarNode& node) const {
    return register_type(b_.getContext(), node.type, lanes_);
  }

  llvm::Constant* constant(const ScalarNode& node) const {
    llvm::Type* element = register_type(b_.getContext(), node.type, 1);
    const unsigned bits = element->getScalarSizeInBits();
    const llvm::APInt word(64, node.immediate);
    if (!is_float(node.type)) return with_lanes(llvm::ConstantInt::get(element, word.trunc(bits)), lanes_);
    const llvm::APFloat number(element->getFltSemantics(), word.trunc(bits));
    return with_lanes(llvm::ConstantFP::get(b_.getContext(), number), lanes_);
  }

  llvm::Value* emit(const ScalarNode& node) {
    switch (node.primitive) {
      case Primitive::argument:
        return arguments_[node.immediate];
      case Primitive::constant:
        return constant(node);
      case Primitive::fma:
        return b_.CreateIntrinsic(llvm::Intrinsic::fma, {type_of(node)},
                                  {operand(node, 0), operand(node, 1), operand(node, 2)});
      case Primitive::square_root:
        return b_.CreateUnaryIntrinsic(llvm::Intrinsic::sqrt, operand(node, 0));
      case Primitive::floor:
        return b_.CreateUnaryIntrinsic(llvm::Intrinsic::floor, operand(node, 0));
      case Primitive::select:
        return b_.CreateSelect(operand(node, 0), operand(node, 1), operand(node, 2));
      case Primitive::bit_and:
        return b_.CreateAnd(operand(node, 0), operand(node, 1));
      case Primitive::bit_or:
        return b_.CreateOr(operand(node, 0), operand(node, 1));
      case Primitive::bit_xor:
        return b_.CreateXor(operand(node, 0), operand(node, 1));
      case Primitive::bit_not:
        return b_.CreateNot(operand(node, 0));
      case Primitive::shift_left:
        return b_.CreateShl(operand(node, 0), node.immediate);
      case Primitive::shift_right:
        return b_.CreateAShr(operand(node, 0), node.immediate);
      case Primitive::shift_right_logical:
        return b_.CreateLShr(operand(node, 0), node.immediate);
      case Primitive::multiply_halves:
        return b_.CreateMul(lower_half(operand(node, 0)), lower_half(operand(node, 1)));
      case Primitive::bit_cast:
        return b_.CreateBitCast(operand(node, 0), type_of(node));
      case Primitive::convert:
        return convert(node);
      case Primitive::less:
      case Primitive::less_equal:
      case Primitive::greater:
      case Primitive::greater_equal:
      case Primitive::equal:
      case Primitive::not_equal:
        return compare(node);
      default:
        return arithmetic(node);
    }
  }

  /// As an unsigned number: known to be short, so that the product of two is one instruction.
  llvm::Value* lower_half(llvm::Value* x) {
    constexpr uint64_t kLowerHalf = 0xffffffff;
    return b_.CreateAnd(x, with_lanes(b_.getInt64(kLowerHalf), lanes_));
  }

  llvm::Value* arithmetic(const ScalarNode& node) {
    llvm::Value* a = operand(node, 0);
    llvm::Value* c = node.operands[1] < 0 ? nullptr : operand(node, 1);
    const bool floating = is_float(node.type);
    switch (node.primitive) {
      case Primitive::add:
        return floating ? b_.CreateFAdd(a, c) : b_.CreateAdd(a, c);
      case Primitive::sub:
        return floating ? b_.CreateFSub(a, c) : b_.CreateSub(a, c);
      case Primitive::mul:
        return floating ? b_.CreateFMul(a, c) : b_.CreateMul(a, c);
      case Primitive::negate:
        return floating ? b_.CreateFNeg(a) : b_.CreateNeg(a);
      case Primitive::div:
        return floating ? b_.CreateFDiv(a, c) : b_.CreateSDiv(a, c);
      default:
        throw InternalError("a scalar primitive without LLVM code");
    }
  }

  llvm::Value* compare(const ScalarNode& node) {
    using P = llvm::CmpInst::Predicate;
    const bool floating = is_float(operand_type(node));
    llvm::Value *a = operand(node, 0), *c = operand(node, 1);
    switch (node.primitive) {
      case Primitive::less:
        return b_.CreateCmp(floating ? P::FCMP_OLT : P::ICMP_SLT, a, c);
      case Primitive::less_equal:
        return b_.CreateCmp(floating ? P::FCMP_OLE : P::ICMP_SLE, a, c);
      case Primitive::greater:
        return b_.CreateCmp(floating ? P::FCMP_OGT : P::ICMP_SGT, a, c);
      case Primitive::greater_equal:
        return b_.CreateCmp(floating ? P::FCMP_OGE : P::ICMP_SGE, a, c);
      case Primitive::equal:
        return b_.CreateCmp(floating ? P::FCMP_OEQ : P::ICMP_EQ, a, c);
      default:
        return b_.CreateCmp(floating ? P::FCMP_UNE : P::ICMP_NE, a, c);
    }
  }

  llvm::Value* convert(const ScalarNode& node) {
    const ScalarType from = operand_type(node), to = node.type;
    llvm::Value* x = operand(node, 0);
    llvm::Type* type = type_of(node);
    if (from == to) return x;
    if (to == ScalarType::mask) throw InternalError("a scalar program converts to a mask");
    if (from == ScalarType::mask) return is_float(to) ? b_.CreateUIToFP(x, type) : b_.CreateZExt(x, type);
    if (is_float(from) && is_float(to)) return b_.CreateFPCast(x, type);
    if (is_float(from)) return b_.CreateIntrinsic(llvm::Intrinsic::fptosi_sat, {type, x->getType()}, {x});
    if (is_float(to)) return b_.CreateSIToFP(x, type);
    if (to == ScalarType::i64) return b_.CreateSExt(x, type);
    const auto bound = [&](int64_t value) { return with_lanes(b_.getInt64(value), lanes_); };
    x = b_.CreateBinaryIntrinsic(llvm::Intrinsic::smax, x, bound(std::numeric_limits<int32_t>::min()));
    x = b_.CreateBinaryIntrinsic(llvm::Intrinsic::smin, x, bound(std::numeric_limits<int32_t>::max()));
    return b_.CreateTrunc(x, type);
  }

  llvm::IRBuilder<>& b_;
  const ScalarProgram& program_;
  std::span<llvm::Value* const> arguments_;
  unsigned lanes_;
  std::vector<llvm::Value*> values_;
};

}  // namespace

llvm::Type* register_type(llvm::LLVMContext& context, ScalarType type, unsigned lanes) {
  switch (type) {
    case ScalarType::f32:
      return with_lanes(llvm::Type::getFloatTy(context), lanes);
    case ScalarType::f64:
      return with_lanes(llvm::Type::getDoubleTy(context), lanes);
    case ScalarType::i32:
      return with_lanes(llvm::Type::getInt32Ty(context), lanes);
    case ScalarType::i64:
      return with_lanes(llvm::Type::getInt64Ty(context), lanes);
    case ScalarType::mask:
      return with_lanes(llvm::Type::getInt1Ty(context), lanes);
  }
  throw InternalError("an unknown scalar type");
}

llvm::Type* memory_type(llvm::LLVMContext& context, DType dtype, unsigned lanes) {
  if (dtype == DType::boolean) return with_lanes(llvm::Type::getInt8Ty(context), lanes);
  return register_type(context, scalar_type(dtype), lanes);
}

llvm::Constant* constant_of(llvm::LLVMContext& context, DType dtype, double value, unsigned lanes) {
  llvm::Type* element = register_type(context, scalar_type(dtype), 1);
  switch (dtype) {
    case DType::f32:
      return with_lanes(llvm::ConstantFP::get(context, llvm::APFloat(static_cast<float>(value))), lanes);
    case DType::f64:
      return with_lanes(llvm::ConstantFP::get(context, llvm::APFloat(value)), lanes);
    case DType::i32:
      return with_lanes(llvm::ConstantInt::getSigned(element, saturated<int32_t>(value)), lanes);
    case DType::i64:
      return with_lanes(llvm::ConstantInt::getSigned(element, saturated<int64_t>(value)), lanes);
    case DType::boolean:
      return with_lanes(llvm::ConstantInt::get(element, value != 0), lanes);
  }
  throw InternalError("an unknown dtype");
}

llvm::Value* emit_program(llvm::IRBuilder<>& builder, const ScalarProgram& program,
                          std::span<llvm::Value* const> arguments, unsigned lanes) {
  return ProgramEmitter(builder, program, arguments, lanes).run();
}

}  // namespace calque::codegen
