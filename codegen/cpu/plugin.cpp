// The plugin's C entry: parses the request, plans and emits the kernels, links the image, and lets no
// exception out.
#include <fmt/format.h>
#include <llvm/Config/llvm-config.h>
#include <llvm/IR/DiagnosticInfo.h>
#include <llvm/IR/DiagnosticPrinter.h>
#include <llvm/IR/LLVMContext.h>
#include <llvm/IR/Verifier.h>
#include <llvm/Support/raw_ostream.h>

#include <cstdlib>
#include <cstring>

#include "calque/kernel_abi.h"
#include "calque_build_id.h"
#include "codegen/cpu/emit_kernel.h"
#include "codegen/cpu/flat_image.h"
#include "codegen/cpu/object.h"
#include "codegen/cpu/plugin_api.h"
#include "ir/graph/parser.h"
#include "ir/graph/verifier.h"
#include "ir/op/error.h"

namespace calque::codegen {

namespace {

std::vector<KernelPlan> plan_fusions(const Graph& graph) {
  std::vector<KernelPlan> plans;
  for (const Node& node : graph.nodes()) {
    if (node.op != Op::fusion) continue;
    if (node.attributes[0] < 0 || node.attributes[0] > static_cast<int64_t>(Domain::columns))
      throw UserError("fusion: an unknown domain");
    plans.push_back(plan_kernel(
        {node.body.get(), static_cast<Domain>(node.attributes[0]), node.attributes[1], node.attributes[2]}));
  }
  return plans;
}

std::vector<KernelSymbol> symbols_of(std::span<const KernelPlan> plans) {
  std::vector<KernelSymbol> symbols;
  for (const KernelPlan& plan : plans)
    symbols.push_back({fmt::format("kernel_{}", symbols.size()), static_cast<uint64_t>(plan.scratch_bytes),
                       static_cast<uint64_t>(plan.part_columns()), plan.any_columns});
  return symbols;
}

/// An LLVM context that throws what LLVM reports as an error, after the pass that reported it.
class Context {
 public:
  Context() {
    context_.setDiagnosticHandlerCallBack(
        [](const llvm::DiagnosticInfo* diagnostic, void* self) {
          if (diagnostic->getSeverity() != llvm::DS_Error) return;
          llvm::raw_string_ostream stream(static_cast<Context*>(self)->error_);
          llvm::DiagnosticPrinterRawOStream printer(stream);
          diagnostic->print(printer);
        },
        this);
  }
  llvm::LLVMContext& get() { return context_; }
  void check() const {
    if (!error_.empty()) throw InternalError("LLVM: " + error_);
  }

 private:
  llvm::LLVMContext context_;
  std::string error_;
};

std::unique_ptr<llvm::Module> emit_module(llvm::LLVMContext& context, std::span<const KernelPlan> plans,
                                          std::span<const KernelSymbol> symbols, const Isa& isa,
                                          const LentTarget& target) {
  auto module = std::make_unique<llvm::Module>("calque", context);
  for (size_t i = 0; i < plans.size(); ++i) emit_kernel(*module, symbols[i].name, plans[i], isa.vector_bytes);
  target.prepare(*module);
#ifndef NDEBUG
  std::string error;
  llvm::raw_string_ostream stream(error);
  if (llvm::verifyModule(*module, &stream)) throw InternalError("LLVM IR: " + error);
#endif
  return module;
}

/// A copy of bytes or text that outlives this call, released by calque_codegen_release; text gets its final
/// zero.
template <class Bytes>
auto* copy_out(const Bytes& bytes) {
  using Byte = typename Bytes::value_type;
  auto* copy = static_cast<Byte*>(std::calloc(bytes.size() + 1, sizeof(Byte)));
  if (!copy) throw std::bad_alloc();
  std::memcpy(copy, bytes.data(), bytes.size());
  return copy;
}

void compile(const calque_codegen_request& request, calque_codegen_result& result) {
  if (request.abi_version != CALQUE_KERNEL_ABI_VERSION || !request.build_id ||
      std::strcmp(request.build_id, CALQUE_BUILD_ID) != 0)
    throw EnvironmentError("codegen: the plugin is from another build than the program that opened it");
  if (!request.graph_text || !request.isa) throw InternalError("codegen: an incomplete request");
  const Isa& isa = isa_named(request.isa);
  const Graph graph = parse({request.graph_text, request.graph_bytes});
  verify(graph);
  const std::vector<KernelPlan> plans = plan_fusions(graph);
  const std::vector<KernelSymbol> symbols = symbols_of(plans);

  const LentTarget target(isa);
  Context context;
  std::unique_ptr<llvm::Module> module = emit_module(context.get(), plans, symbols, isa, target);
  if (request.want_text) {
    std::string text;
    llvm::raw_string_ostream stream(text);
    module->print(stream, nullptr);
    result.llvm_ir = copy_out(text);
    result.assembly = copy_out(target.emit_assembly(*module));
    module = emit_module(context.get(), plans, symbols, isa, target);
  }
  const std::vector<uint8_t> object = target.emit_object(*module);
  context.check();
  const std::vector<uint8_t> image = link_flat_image(object, symbols);
  result.image = copy_out(image);
  result.image_bytes = image.size();
}

}  // namespace

}  // namespace calque::codegen

extern "C" {

[[gnu::visibility("default")]] int calque_codegen_compile(const calque_codegen_request* request,
                                                          calque_codegen_result* result) {
  *result = {};
  std::string error;
  try {
    calque::codegen::compile(*request, *result);
    return 0;
  } catch (const std::exception& exception) {
    error = exception.what();
  } catch (...) {
    error = "codegen: an unknown exception";
  }
  calque_codegen_release(result);
  result->error = strdup(error.c_str());
  return 1;
}

[[gnu::visibility("default")]] void calque_codegen_release(calque_codegen_result* result) {
  std::free(result->image);
  std::free(result->llvm_ir);
  std::free(result->assembly);
  std::free(result->error);
  *result = {};
}

[[gnu::visibility("default")]] const char* calque_codegen_version(void) {
  return "LLVM " LLVM_VERSION_STRING;
}
}
