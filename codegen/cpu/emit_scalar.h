// Scalar programs, constants and types as LLVM IR, for one element or a vector of them.
#pragma once

#include <llvm/IR/IRBuilder.h>

#include <span>

#include "ir/op/scalar/program.h"

namespace calque::codegen {

/// `lanes` 1 is a plain scalar, more a vector. A mask is i1 in registers and one byte in memory.
llvm::Type* register_type(llvm::LLVMContext& context, ScalarType type, unsigned lanes);
llvm::Type* memory_type(llvm::LLVMContext& context, DType dtype, unsigned lanes);

/// A number as the op `full` makes it: to integers it truncates and saturates, to bool it is `!= 0`.
llvm::Constant* constant_of(llvm::LLVMContext& context, DType dtype, double value, unsigned lanes);

/// Primitive by primitive what the program says; the builder must not carry fast-math flags.
llvm::Value* emit_program(llvm::IRBuilder<>& builder, const ScalarProgram& program,
                          std::span<llvm::Value* const> arguments, unsigned lanes);

}  // namespace calque::codegen
