// LLVM's target: an instruction set, and objects of a module's code for it.
#pragma once

#include <llvm/IR/Module.h>
#include <llvm/Target/TargetMachine.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace calque::codegen {

/// An instruction set that kernels are generated for, and the widest vectors that it is used with.
struct Isa {
  const char* name;
  const char* llvm_cpu;
  int vector_bytes;
};
/// `avx2` or `avx512`. Throws UserError for another name.
const Isa& isa_named(std::string_view name);

/// A target machine lent to one compilation: making one takes longer than a small kernel. It goes back at the
/// end, unless an exception is on its way.
class LentTarget {
 public:
  explicit LentTarget(const Isa& isa);
  ~LentTarget();
  LentTarget(const LentTarget&) = delete;
  LentTarget& operator=(const LentTarget&) = delete;

  void prepare(llvm::Module& module) const;
  /// Consumes the module's code: it may be emitted once.
  std::vector<uint8_t> emit_object(llvm::Module& module) const {
    return emit<uint8_t>(module, llvm::CodeGenFileType::ObjectFile);
  }
  std::string emit_assembly(llvm::Module& module) const;

 private:
  template <class Byte>
  std::vector<Byte> emit(llvm::Module& module, llvm::CodeGenFileType type) const;

  const Isa& isa_;
  std::unique_ptr<llvm::TargetMachine> machine_;
  int exceptions_;
};

}  // namespace calque::codegen
