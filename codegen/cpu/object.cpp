// Sets up LLVM's X86 target with the settings that bits depend on, and runs its code generator.
#include "codegen/cpu/object.h"

#include <fmt/format.h>
#include <llvm/Analysis/TargetLibraryInfo.h>
#include <llvm/IR/LegacyPassManager.h>
#include <llvm/MC/TargetRegistry.h>
#include <llvm/Support/CommandLine.h>
#include <llvm/Support/ErrorHandling.h>
#include <llvm/Support/TargetSelect.h>
#include <llvm/Support/raw_ostream.h>
#include <llvm/TargetParser/Host.h>

#include <exception>
#include <mutex>

#include "ir/op/error.h"

namespace calque::codegen {

namespace {

constexpr Isa kIsas[] = {{"avx2", "x86-64-v3", 32}, {"avx512", "x86-64-v4", 64}};
constexpr const char* kTriple = "x86_64-unknown-linux-gnu";

/// LLVM's last resort would end the process; a compilation that fails must only fail.
[[noreturn]] void throw_fatal_error(void*, const char* reason, bool) {
  throw InternalError(fmt::format("LLVM: {}", reason));
}

void initialize_llvm() {
  static std::once_flag once;
  std::call_once(once, [] {
    LLVMInitializeX86TargetInfo();
    LLVMInitializeX86Target();
    LLVMInitializeX86TargetMC();
    LLVMInitializeX86AsmPrinter();
    llvm::install_fatal_error_handler(throw_fatal_error);
    // These two passes cost a tenth of the time and gain nothing measurable here: addresses are a base and
    // one index, and the processors reorder. LLVM has no other switch for them than its command line, which
    // is this plugin's own.
    const char* const options[] = {"calque", "-disable-lsr", "-disable-post-ra"};
    std::string ignored;
    llvm::raw_string_ostream stream(ignored);
    llvm::cl::ParseCommandLineOptions(std::size(options), options, "", &stream);
  });
}

std::unique_ptr<llvm::TargetMachine> make_machine(const Isa& isa) {
  std::string error;
  const llvm::Target* target = llvm::TargetRegistry::lookupTarget(kTriple, error);
  if (!target) throw InternalError("LLVM: " + error);
  llvm::TargetOptions options;
  options.AllowFPOpFusion = llvm::FPOpFusion::Strict;  // an fma only where a formula has one
  std::unique_ptr<llvm::TargetMachine> machine(
      target->createTargetMachine(kTriple, isa.llvm_cpu, "", options, llvm::Reloc::PIC_,
                                  llvm::CodeModel::Small, llvm::CodeGenOptLevel::Default));
  if (!machine) throw InternalError("LLVM: no target machine");
  return machine;
}

struct IdleMachines {
  std::mutex mutex;
  std::vector<std::unique_ptr<llvm::TargetMachine>> machines[std::size(kIsas)];
};
/// Never destroyed: a thread may still compile while the process ends.
IdleMachines& idle_machines() {
  static auto* idle = new IdleMachines;
  return *idle;
}

}  // namespace

const Isa& isa_named(std::string_view name) {
  for (const Isa& isa : kIsas)
    if (isa.name == name) return isa;
  throw UserError(fmt::format("codegen: no instruction set '{}' (avx2, avx512)", name));
}

LentTarget::LentTarget(const Isa& isa) : isa_(isa), exceptions_(std::uncaught_exceptions()) {
  initialize_llvm();
  {
    const std::lock_guard lock(idle_machines().mutex);
    auto& machines = idle_machines().machines[&isa - kIsas];
    if (!machines.empty()) {
      machine_ = std::move(machines.back());
      machines.pop_back();
    }
  }
  if (!machine_) machine_ = make_machine(isa);
}

LentTarget::~LentTarget() {
  if (std::uncaught_exceptions() > exceptions_) return;
  const std::lock_guard lock(idle_machines().mutex);
  idle_machines().machines[&isa_ - kIsas].push_back(std::move(machine_));
}

void LentTarget::prepare(llvm::Module& module) const {
  module.setTargetTriple(kTriple);
  module.setDataLayout(machine_->createDataLayout());
  static const std::string host(llvm::sys::getHostCPUName());  // slow in virtual machines
  for (llvm::Function& function : module)
    if (!function.isDeclaration()) function.addFnAttr("tune-cpu", host);
}

template <class Byte>
std::vector<Byte> LentTarget::emit(llvm::Module& module, llvm::CodeGenFileType type) const {
  llvm::SmallVector<char, 0> bytes;
  llvm::raw_svector_ostream stream(bytes);
  llvm::legacy::PassManager passes;
  llvm::TargetLibraryInfoImpl library{llvm::Triple(kTriple)};
  library.disableAllFunctions();
  passes.add(new llvm::TargetLibraryInfoWrapperPass(library));
  if (machine_->addPassesToEmitFile(passes, stream, nullptr, type))
    throw InternalError("LLVM: cannot emit this file type");
  passes.run(module);
  return {bytes.begin(), bytes.end()};
}

template std::vector<uint8_t> LentTarget::emit<uint8_t>(llvm::Module&, llvm::CodeGenFileType) const;

std::string LentTarget::emit_assembly(llvm::Module& module) const {
  const std::vector<char> text = emit<char>(module, llvm::CodeGenFileType::AssemblyFile);
  return {text.begin(), text.end()};
}

}  // namespace calque::codegen
